"""The pretrained networks that regraft can use, and their graphs on this machine.

A name in, a Backbone out: where its weights come from, under which licence, what it was trained on,
and the one transform its pixels must pass through.

backbone       Backbone
architectures  what network it is: a type for each family, which builds, loads and exports it
built_in       those that come along
sources/       a file and a row for each kind of name
published      what a hub publishes
foreign        ONNX files of others
tokenizers     how texts are taken apart
depths         what is kept of every depth of a network
graphs         ONNX graphs of networks, kept in the cache
speeds         how fast they are here, by what was timed
"""
