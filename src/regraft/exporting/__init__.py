"""A model as one ONNX file that predicts what the model predicts.

`exporter` is the way in; `artifact` makes the file, `replay` compares it with the model, `card`
describes it, `forms` holds what differs between photos and texts, and `standalone_*.py` are not
imported but shipped beside it.
"""

from regraft.exporting.exporter import Exported, export_model, facts_of, sample_of_run
from regraft.exporting.forms import form_named

__all__ = ["Exported", "export_model", "facts_of", "form_named", "sample_of_run"]
