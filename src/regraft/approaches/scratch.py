"""`scratch`: train a network from random weights, to see what the pretrained one is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from regraft.approaches.base import Approach, Asked, Profile, Turn
from regraft.approaches.fine_tune import pixel_scale
from regraft.approaches.plans import TrainingPlan
from regraft.approaches.trained import Trains, check_training
from regraft.backbones.architectures import FromScratch
from regraft.backbones.backbone import Backbone
from regraft.engines.modules import load_named
from regraft.kinds import Part, kind_named
from regraft.kinds.images.transform import NORMALISATIONS, ImageTransform
from regraft.progress import Progress, silent
from regraft.storage.locations import shareable_word

if TYPE_CHECKING:
    from regraft.engines.networks import Trainee

EPOCHS = 40
_VIEWS = 4
_SMALL_PARAMETERS = 700_000
_SMALL_WIDTH = 128


@dataclass(frozen=True, slots=True)
class Scratch(Trains):
    """Train a network that has seen no other images.

    Args:
        architecture: None for regraft's small residual network; else something that is called
            with the number of classes and returns a `torch.nn.Module` from normalised pixels
            float32 (n, 3, s, s) to logits (n, k), or where to find it: "package.module:name" or
            "path/to/file.py:name".
        image_size_px: s.
        epochs: passes over the training photos; None for 40, or fewer where a time budget asks
            for it.
        learning_rate: the highest one.
        resize: "crop", "pad" or "squash".
        balanced: weigh classes by inverse frequency; None does so where the largest class is at
            least three times the smallest.
    """

    name: ClassVar[str] = "scratch"
    profile: ClassVar[Profile] = Profile(turn=Turn.BASELINE, trains=True)
    fewest_epochs: ClassVar[int] = 5

    architecture: str | Callable[[int], Any] | None = None
    image_size_px: int = 128
    epochs: int | None = None
    learning_rate: float = 3e-3
    resize: str | None = None
    balanced: bool | None = None

    @classmethod
    def candidates(cls, asked: Asked) -> list[Approach]:
        """A small network for that kind of input; none where there is none."""
        untrained: Part[Callable[[Asked], list[Approach]]] | None = kind_named(asked.kind).scratch
        return [] if untrained is None else untrained()(asked)

    @property
    def is_baseline(self) -> bool:
        """It is always the measure of what pretrained weights are worth."""
        return True

    @property
    def network(self) -> Backbone:
        """Facts on the network, in the form of a backbone that was pretrained on nothing."""
        changes: dict[str, Any] = {} if self.resize is None else {"resize": self.resize}
        return Backbone(
            name=self._title,
            architecture=FromScratch(self._title),
            weights_sha256="",
            task="image classification",
            pretrained_on="nothing",
            licence="your own" if self.architecture else "Apache-2.0",
            parameters=_SMALL_PARAMETERS,
            feature_width=_SMALL_WIDTH,
            transform=ImageTransform(
                image_size_px=self.image_size_px,
                normalisation=NORMALISATIONS["tf"],
                **changes,
            ),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for."""
        asked = {
            "architecture": self._title if self.architecture else None,
            "epochs": self.epochs,
            "resize": self.resize,
            "balanced": self.balanced,
        }
        return {"train": "scratch", "learning_rate": self.learning_rate} | {
            name: value for name, value in asked.items() if value is not None
        }

    @property
    def planned_epochs(self) -> int:
        """Epochs with the default filled in."""
        return self.epochs or EPOCHS

    @property
    def _title(self) -> str:
        if self.architecture is None:
            return "small_resnet"
        if isinstance(self.architecture, str):
            return shareable_word(self.architecture, Path.cwd())  # it is written into the model
        return str(getattr(self.architecture, "__name__", type(self.architecture).__name__))

    def plan(self, _progress: Progress = silent) -> TrainingPlan:
        """What is trained and how, in full."""
        from regraft.engines.training import Recipe

        check_training(self.epochs, self.learning_rate)
        backbone = self.network
        given = self.architecture
        build = load_architecture(given) if isinstance(given, str) else given

        def make(n_classes: int) -> Trainee:
            from regraft.engines.networks import scratch_trainee

            return scratch_trainee(
                build,
                n_classes=n_classes,
                scale=pixel_scale(backbone),
                image_size_px=self.image_size_px,
            )

        return TrainingPlan(
            approach=self.name,
            backbone=backbone,
            boundary=0,
            recipe=Recipe(
                epochs=self.planned_epochs,
                learning_rate=self.learning_rate,
                layer_decay=1.0,
                weight_decay=0.05,
                views=_VIEWS,
                flip=True,
                patience=max(8, self.planned_epochs // 4),
            ),
            settings=self.settings,
            warm_head=False,
            make=make,
        )


def untrained(asked: Asked) -> list[Approach]:
    """A network of photos with random weights: the user's own or a small one."""
    return [Scratch(asked.architecture, resize=asked.resize)]


def load_architecture(where: str) -> Callable[[int], Any]:
    """What "package.module:name" or "path/to/file.py:name" names.

    Raises:
        UsageError: it cannot be imported, or there is nothing of that name.
    """
    return load_named(where, "architecture")  # type: ignore[no-any-return]
