"""`fastai`: the training that fastai's tutorials teach, as one more candidate on the same folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from regraft.approaches.base import Asked, Profile, Turn
from regraft.approaches.fine_tune import pixel_scale
from regraft.approaches.frozen import frozen_backbone
from regraft.approaches.plans import TrainingPlan
from regraft.approaches.trained import Trains, check_training
from regraft.backbones.architectures import image_network
from regraft.backbones.backbone import Backbone, image_transform, weights_path
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.errors import TrainingError
from regraft.kinds import IMAGE
from regraft.progress import Progress, silent

if TYPE_CHECKING:
    from regraft.engines.networks import Trainee

EPOCHS = 5
_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class FastaiFineTune(Trains):
    """`Learner.fine_tune` of fastai with its defaults, on a backbone of regraft.

    The first epoch trains the head and batch normalisation, the others everything, at rates that
    fall towards the input; batches are augmented by `aug_transforms` (Howard and Gugger 2020,
    Information 11:108). The head is fastai's without its hidden layer, so that the model is a
    network with a linear head like any other.

    Args:
        backbone: a name, see `backbones.sources`, or a Backbone.
        epochs: passes over the training photos, the first one included; None for 5, which is
            `fine_tune(4)`, or fewer where a time budget asks for it.
        learning_rate: `base_lr` of `fine_tune`.
        resize: "crop", "pad" or "squash"; None for the backbone's own.
    """

    name: ClassVar[str] = "fastai"
    profile: ClassVar[Profile] = Profile(
        turn=Turn.BY_OTHERS, kind=IMAGE, trains=True, tunes=True, by_default=False, extra="fastai"
    )
    fewest_epochs: ClassVar[int] = 2

    backbone: str | Backbone = DEFAULT_BACKBONE
    epochs: int | None = None
    learning_rate: float = 2e-3
    resize: str | None = None

    @classmethod
    def candidates(cls, asked: Asked) -> list[FastaiFineTune]:
        """One on each backbone that can be tuned."""
        return [cls(backbone) for backbone in asked.to_tune]

    @property
    def network(self) -> Backbone:
        """The backbone with the transform this approach uses."""
        check_training(self.epochs, self.learning_rate)
        return frozen_backbone(self.backbone, views=1, resize=self.resize)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for."""
        asked = {"epochs": self.epochs, "resize": self.resize}
        return {"train": "all", "learning_rate": self.learning_rate} | {
            name: value for name, value in asked.items() if value is not None
        }

    @property
    def planned_epochs(self) -> int:
        """Epochs with the default filled in."""
        return self.epochs or EPOCHS

    def plan(self, _progress: Progress = silent) -> TrainingPlan:
        """What is trained and how, in full.

        Raises:
            MissingExtraError: fastai is not installed.
            TrainingError: the backbone cannot be trained.
        """
        from regraft.engines import fastai
        from regraft.engines.training import Recipe

        backbone = self.network
        if backbone.is_frozen:
            raise TrainingError(
                f"{backbone.name} is an ONNX file, which stays frozen; use linear_probe or knn"
            )
        fastai.library("the approach fastai")
        weights = weights_path(backbone)
        scale = pixel_scale(backbone)

        def make(n_classes: int) -> Trainee:
            return fastai.fastai_trainee(
                image_network(backbone.architecture).load(weights, backbone.layout),
                title=backbone.architecture.title,
                n_classes=n_classes,
                feature_width=backbone.feature_width,
                scale=scale,
                image_size_px=image_transform(backbone).image_size_px,
            )

        return TrainingPlan(
            approach=self.name,
            backbone=backbone,
            boundary=0,
            recipe=Recipe(
                epochs=self.planned_epochs,
                learning_rate=self.learning_rate,
                batch_size=_BATCH_SIZE,
            ),
            settings=self.settings,
            warm_head=False,
            make=make,
            loop=fastai,
        )
