"""A model as one ONNX file that predicts what the model predicts.

`exporter` is the way in; `artifact` makes the file, `replay` compares it with the model, `card`
describes it, and `standalone.py` is not imported but shipped beside it.
"""

from regraft.exporting.exporter import Exported, export_model, facts_of, sample_of_run

__all__ = ["Exported", "export_model", "facts_of", "sample_of_run"]
