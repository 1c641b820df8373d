"""The runtimes that turn arrays into features: one file each, imported only when used.

base            what an engine is
devices         where graphs run and networks train, a row each; `load_graph` for all
onnx            ONNX Runtime: runs graphs
precision       graphs with smaller numbers

Networks, by who makes them; the others work on any:

timm, torchvision, transformers, modules (the user's own)
efficientnet_lite  what is built in, as a graph without PyTorch, from weights of `state_dicts`
hubs            files that others publish
torch           networks and weights loaded and exported
classifiers     the last layer of an image network
stages          a network cut where its stages begin; `called` finds them by watching what it calls
depths          statistics of several depths, in torch
encoders        text encoders read, and run part by part

What is trained:

networks        networks made trainable; `texts` does so for encoders and word vectors
training        the loop; `fastai` trains in its place, `learners` are its objects
statistics      what batch normalisation remembers of the pretraining
explanations    where a network finds evidence
lightning       a network as a module of Lightning
publishing      a folder for timm
"""

from __future__ import annotations

import importlib.util
import sys

from regraft.errors import MissingExtraError

TRAIN = "train"  # the extra of regraft that brings PyTorch
_BROUGHT = ("torch", "torchvision", "timm", "captum", "lightning_fabric", "onnxscript")
_LOADING_S = 4.0  # of PyTorch and what comes with it, on two idle cores


def can_train() -> bool:
    """Whether PyTorch and what it needs beside it are installed; none of it is loaded."""
    return all(importlib.util.find_spec(name) is not None for name in _BROUGHT)


def require_training(purpose: str) -> None:
    """See that PyTorch is installed.

    Raises:
        MissingExtraError: it is not; `purpose` says what needs it.
    """
    if not can_train():
        raise MissingExtraError(purpose, TRAIN)


def seconds_to_load() -> float:
    """How long PyTorch takes to be loaded, 0 once it is; without so much time it stays unloaded."""
    return 0.0 if "torch" in sys.modules else _LOADING_S
