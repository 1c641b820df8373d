"""The pretrained networks regraft knows, and their graphs on this machine.

A name in, a Backbone out: where its weights come from, under which licence, what it was trained on,
and the one transform its pixels must pass through.
"""

from regraft.catalogue.backbone import (
    BACKBONES,
    DEFAULT_BACKBONE,
    ONNX,
    Backbone,
    default_backbone,
    graph_key,
    image_transform,
    is_available,
    measured_speed,
    remember_speed,
    weights_path,
    with_transform,
)
from regraft.catalogue.graphs import (
    boundary_graph,
    embedding_graph,
    graph_on_inputs,
    is_exported,
    network_graph,
    network_tensors,
    stage_count,
    word_table,
)
from regraft.catalogue.modules import module_backbone
from regraft.catalogue.sources import (
    BackboneOptions,
    get_backbone,
    list_backbones,
    search_backbones,
)
from regraft.catalogue.speeds import graph_folder
from regraft.catalogue.texts import kept_tokenizer

__all__ = [
    "BACKBONES",
    "DEFAULT_BACKBONE",
    "ONNX",
    "Backbone",
    "BackboneOptions",
    "boundary_graph",
    "default_backbone",
    "embedding_graph",
    "get_backbone",
    "graph_folder",
    "graph_key",
    "graph_on_inputs",
    "image_transform",
    "is_available",
    "is_exported",
    "kept_tokenizer",
    "list_backbones",
    "measured_speed",
    "module_backbone",
    "network_graph",
    "network_tensors",
    "remember_speed",
    "search_backbones",
    "stage_count",
    "weights_path",
    "with_transform",
    "word_table",
]
