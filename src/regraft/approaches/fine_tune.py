"""`fine_tune`: train some stages of a pretrained network, the head with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from regraft.approaches.base import Asked, Profile, Turn
from regraft.approaches.frozen import frozen_backbone
from regraft.approaches.plans import TrainingPlan
from regraft.approaches.trained import Trains, check_training
from regraft.backbones.architectures import SentenceEncoder, image_network
from regraft.backbones.backbone import Backbone, image_transform, weights_path
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.graphs import stage_count
from regraft.errors import TrainingError, UsageError
from regraft.kinds import kind_named
from regraft.progress import Progress, silent

if TYPE_CHECKING:
    from regraft.engines.networks import PixelScale, Trainee

FEWEST_EPOCHS = 3
_USUAL = ("last_2_stages", "last_4_stages")  # where there is no advice
_SCOPE = re.compile(r"(?P<where>last|first)_(?P<stages>[1-9]\d?)_stages?|all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How networks of a kind of input are fine-tuned.

    Attributes:
        epochs: of the last stages, of the first ones, and of all.
        rate: the learning rate for a backbone of some feature width.
        trainee: what trains of a backbone with its weights, from which boundary on, how many of the
            first stages (None: all above the boundary), for how many classes.
        most_views: variants of an input in training; 1 where there is nothing to vary.
        flips: whether an input may be mirrored.
    """

    epochs: Mapping[str, int]
    rate: Callable[[int], float]
    trainee: Callable[[Backbone, Path, int, int | None, int], Trainee]
    most_views: int = 1
    flips: bool = False


def tuning_of(backbone: Backbone) -> Tuning:
    """How a backbone is fine-tuned.

    Raises:
        UsageError: networks of its kind of input are not.
    """
    kind = kind_named(backbone.modality)
    if kind.tuning is None:
        raise UsageError(f"networks of {kind.things} are not fine-tuned; take linear_probe or knn")
    tuning: Tuning = kind.tuning()
    return tuning


@dataclass(frozen=True, slots=True)
class FineTune(Trains):
    """Train stages of a pretrained network; what lies below them is computed once and kept.

    The head begins as a linear probe (Kumar et al., ICLR 2022: training from a random head
    distorts the features), rates fall with depth, and batch normalisation adapts to the data only
    in stages that are trained.

    Args:
        backbone: a name, see `backbones.sources`, or a Backbone.
        train: "last_1_stage", "last_2_stages"... from the output downwards, "first_2_stages"
            for the first ones only (surgical fine-tuning: Lee et al., ICLR 2023), or "all".
        epochs: passes over the training photos; None for 12 of last stages and 6 otherwise (of
            texts 4 and 3), or fewer where a time budget asks for it.
        learning_rate: the highest one; lowered if the range test shows that it cannot work. None
            for 0.002 (of texts 0.0005, less for encoders wider than MiniLM).
        views: augmented variants of each photo; None for one for every two epochs, at most 6.
            Texts have one.
        resize: "crop", "pad" or "squash"; None for the backbone's own.
        balanced: weigh classes by inverse frequency; None does so where the largest class is at
            least three times the smallest.
    """

    name: ClassVar[str] = "fine_tune"
    profile: ClassVar[Profile] = Profile(turn=Turn.TUNED, trains=True, tunes=True)
    fewest_epochs: ClassVar[int] = FEWEST_EPOCHS

    backbone: str | Backbone = DEFAULT_BACKBONE
    train: str = "last_2_stages"
    epochs: int | None = None
    learning_rate: float | None = None
    views: int | None = None
    resize: str | None = None
    balanced: bool | None = None

    @classmethod
    def candidates(cls, asked: Asked) -> list[FineTune]:
        """What the guide advises to train, its rule-of-thumb rivals, and the dearest ones last.

        What begins with the pixels takes ten times as long on a CPU.
        """
        if kind_named(asked.kind).tuning is None and not asked.names_approaches:
            return []
        scopes = dict.fromkeys([*filter(_SCOPE.fullmatch, asked.advised), *_USUAL])
        dearest_last = sorted(scopes, key=lambda scope: not scope.startswith("last"))
        return [cls(backbone, train=scope) for scope in dearest_last for backbone in asked.to_tune]

    @property
    def network(self) -> Backbone:
        """The backbone with the transform this approach uses."""
        self._check()
        return frozen_backbone(self.backbone, views=1, resize=self.resize)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which stages train, and what else was asked for."""
        asked = {
            "epochs": self.epochs,
            "augmented_views": self.views,
            "resize": self.resize,
            "balanced": self.balanced,
        }
        return {"train": self.train, "learning_rate": self._rate} | {
            name: value for name, value in asked.items() if value is not None
        }

    @property
    def last_stages(self) -> int | None:
        """How many stages train, counted from the output; None for all and for the first ones."""
        scope = _SCOPE.fullmatch(self.train)
        return int(scope["stages"]) if scope and scope["where"] == "last" else None

    @property
    def planned_epochs(self) -> int:
        """Epochs with the default filled in."""
        planned = tuning_of(self.network).epochs
        return self.epochs or planned.get(self.train.partition("_")[0], planned["all"])

    @property
    def views_at(self) -> Callable[[int], int]:
        """How many views each number of epochs has."""
        return self._views_at

    @property
    def _rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return tuning_of(self.network).rate(self.network.feature_width)

    def _views_at(self, epochs: int) -> int:
        most = tuning_of(self.network).most_views
        if most == 1:
            return 1
        return self.views or min(most, max(2, (epochs + 1) // 2))

    def _check(self) -> None:
        if not _SCOPE.fullmatch(self.train):
            raise UsageError(
                f"train is {self.train!r}, expected last_2_stages, first_2_stages (any number) or "
                "all"
            )
        check_training(self.epochs, self.learning_rate)
        if self.views is not None and self.views < 1:
            raise UsageError(f"views is {self.views}, expected at least 1")

    def plan(self, progress: Progress = silent) -> TrainingPlan:
        """What is trained and how, in full."""
        from regraft.engines.training import Recipe

        backbone = self.network
        tuning = tuning_of(backbone)
        boundary, first = self._stages(stage_count(backbone, progress=progress))
        epochs = self.planned_epochs
        weights = weights_path(backbone)

        def make(n_classes: int) -> Trainee:
            return tuning.trainee(backbone, weights, boundary, first, n_classes)

        return TrainingPlan(
            approach=self.name,
            backbone=backbone,
            boundary=boundary,
            recipe=Recipe(
                epochs=epochs,
                learning_rate=self._rate,
                views=self._views_at(epochs),
                patience=max(6, epochs // 2),
                flip=boundary == 0 and tuning.flips,
                batch_size=32 if boundary else 16,
            ),
            settings=self.settings,
            warm_head=True,
            make=make,
        )

    def _stages(self, stages: int) -> tuple[int, int | None]:
        """The boundary, and how many of the first stages learn (None: all above it)."""
        if self.train == "all":
            return 0, None
        found = _SCOPE.fullmatch(self.train)
        assert found is not None
        number = int(found["stages"])
        if number > stages:
            raise TrainingError(
                f"{self.network.name} has {stages} stages to train, fewer than the "
                f"{number} of {self.train}; use train=all"
            )
        if found["where"] == "first":
            return 0, number
        return stages - number, None


def _image_trainee(
    backbone: Backbone, weights: Path, boundary: int, first_stages: int | None, n_classes: int
) -> Trainee:
    from regraft.engines.networks import pretrained_trainee

    return pretrained_trainee(
        image_network(backbone.architecture).load(weights, backbone.layout),
        title=backbone.architecture.title,
        boundary=boundary,
        first_stages=first_stages,
        n_classes=n_classes,
        feature_width=backbone.feature_width,
        scale=pixel_scale(backbone),
        image_size_px=image_transform(backbone).image_size_px,
    )


def _text_trainee(
    backbone: Backbone, weights: Path, boundary: int, first_stages: int | None, n_classes: int
) -> Trainee:
    from regraft.engines.texts import text_trainee

    architecture = backbone.architecture
    assert isinstance(architecture, SentenceEncoder), architecture.title
    return text_trainee(
        architecture.load(weights, backbone.layout),
        title=architecture.title,
        boundary=boundary,
        first_stages=first_stages,
        n_classes=n_classes,
        feature_width=backbone.feature_width,
    )


OF_PHOTOS = Tuning(
    epochs={"last": 12, "first": 6, "all": 6},
    rate=lambda _: 2e-3,
    trainee=_image_trainee,
    most_views=6,
    flips=True,
)
OF_TEXTS = Tuning(
    epochs={"last": 4, "first": 3, "all": 3},
    # Measured at a width of 384; wider layers need smaller steps (Yang et al. 2021, NeurIPS).
    rate=lambda width: 5e-4 * min(1.0, 384 / width),
    trainee=_text_trainee,
)


def pixel_scale(backbone: Backbone) -> PixelScale:
    """How grey levels become what the backbone takes."""
    from regraft.engines.networks import PixelScale

    normalisation = image_transform(backbone).normalisation
    return PixelScale(
        normalisation.mean,
        normalisation.std,
        normalisation.pixel_max,
        normalisation.channel_order,
    )
