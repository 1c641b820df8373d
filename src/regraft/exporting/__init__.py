"""A model as one ONNX file that predicts what the model predicts.

exporter      the way in
precisions    a row for each of what may become of the network's numbers
artifact      the file: graph, facts, and what it takes to make it smaller
replay        the file beside the model, run as its users will run it
agreement     how close both have to be
card          what the model is and was measured to do
forms         what differs between photos and texts

`standalone_*.py` are not imported but shipped beside the file.
"""
