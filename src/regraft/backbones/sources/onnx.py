"""Any network of images as an ONNX file, used as it is; see `foreign`."""

from __future__ import annotations

from pathlib import Path

from regraft.backbones.architectures import OnnxFile
from regraft.backbones.backbone import Backbone, file_digest
from regraft.backbones.foreign import read_foreign
from regraft.backbones.sources import Request
from regraft.errors import BackboneError
from regraft.kinds.images.transform import ImageTransform, normalisation_named
from regraft.training_contents import UNKNOWN


def find(name: str, request: Request) -> Backbone:
    """A frozen backbone from an ONNX file."""
    path, size = Path(name), request.image_size_px or 0
    normalisation = normalisation_named(request.normalize or "")
    if not path.is_file():
        raise BackboneError(f"there is no file {path}; give an ONNX file")
    foreign = read_foreign(path, image_size_px=size)
    return Backbone(
        name=path.stem,
        architecture=OnnxFile(),
        weights_at=str(path.resolve()),
        weights_sha256=file_digest(path),
        origin=f"onnx {path.name}",
        task="image classification",
        pretrained_on="unknown data",
        licence="unknown",
        parameters=foreign.parameters,
        feature_width=foreign.feature_width,
        transform=ImageTransform(
            image_size_px=size or foreign.image_size_px or 224,
            interpolation="bilinear",
            normalisation=normalisation,
        ),
        contents=UNKNOWN,
    )
