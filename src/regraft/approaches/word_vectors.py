"""`word_vectors`: a small network on word vectors that stay as they are; and `scratch` of texts,
the same network on vectors that are learned with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from regraft.approaches.base import Approach, Asked, Profile, Turn
from regraft.approaches.plans import TrainingPlan
from regraft.approaches.trained import Trains, check_training
from regraft.backbones.architectures import FromScratch
from regraft.backbones.backbone import Backbone, weights_path
from regraft.backbones.built_in import default_backbone
from regraft.backbones.graphs import word_table
from regraft.backbones.sources import get_backbone
from regraft.errors import UsageError
from regraft.kinds import TEXT
from regraft.progress import Progress, silent

if TYPE_CHECKING:
    from regraft.engines.networks import Trainee

EPOCHS = 12
_KINDS = ("cnn", "gru")
_LEARNED_WIDTH = 100


@dataclass(frozen=True, slots=True)
class WordVectors(Trains):
    """Train a small network that reads word vectors.

    Args:
        backbone: whose vectors and tokenizer are used: word vectors from a file, or a text encoder
            for the table that it begins with; None for the built-in one.
        learned: begin with random vectors and train them too: `scratch`, which owes nothing to
            pretraining but how texts are taken apart into tokens.
        kind: "cnn" (Kim 2014, EMNLP) or "gru", see `engines.texts.vectors_trainee`.
        epochs: passes over the training texts; None for 12, or fewer where a time budget asks for
            it.
        learning_rate: the highest one.
        balanced: weigh classes by inverse frequency; None does so where the largest class is at
            least three times the smallest.
    """

    profile: ClassVar[Profile] = Profile(turn=Turn.SMALL, kind=TEXT, trains=True)

    backbone: str | Backbone | None = None
    learned: bool = False
    kind: str = "cnn"
    epochs: int | None = None
    learning_rate: float = 2e-3
    balanced: bool | None = None

    @classmethod
    def candidates(cls, asked: Asked) -> list[WordVectors]:
        """One on each backbone that is worth training."""
        return [cls(backbone) for backbone in asked.to_train]

    @property
    def fewest_epochs(self) -> int:
        """Fewer are not worth the time."""
        return 3

    @property
    def is_baseline(self) -> bool:
        """Whether the vectors are learned with the network."""
        return self.learned

    @property
    def name(self) -> str:
        """ "word_vectors", or "scratch" where they are learned."""
        return "scratch" if self.learned else "word_vectors"

    @property
    def network(self) -> Backbone:
        """The backbone that brings vectors and tokenizer; of `scratch`, only the tokenizer."""
        if self.kind not in _KINDS:
            raise UsageError(f"kind is {self.kind!r}, expected {' or '.join(_KINDS)}")
        backbone = self._source
        if not self.profile.is_for(backbone.modality):
            raise UsageError(f"{backbone.name} has no word vectors; name a text encoder")
        small = f"small_{self.kind}"
        network = replace(
            backbone, architecture=FromScratch(small), parameters=_LEARNED_WIDTH * 1_000
        )
        if not self.learned:
            return network
        return replace(network, name=small, weights_sha256="", pretrained_on="nothing")

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for."""
        train = "scratch" if self.learned else "network"
        asked = {"epochs": self.epochs, "balanced": self.balanced}
        return {"train": train, "kind": self.kind, "learning_rate": self.learning_rate} | {
            name: value for name, value in asked.items() if value is not None
        }

    @property
    def planned_epochs(self) -> int:
        """Epochs with the default filled in."""
        return self.epochs or EPOCHS

    def plan(self, _progress: Progress = silent) -> TrainingPlan:
        """What is trained and how, in full."""
        from regraft.engines.training import Recipe

        check_training(self.epochs, self.learning_rate)
        backbone = self.network
        weights_path(self._source)  # the tokenizer is beside them

        def make(n_classes: int) -> Trainee:
            from regraft.engines.texts import vectors_trainee

            matrix = word_table(self._source)
            return vectors_trainee(
                None if self.learned else matrix,
                vocabulary=len(matrix),
                width=_LEARNED_WIDTH if self.learned else matrix.shape[1],
                n_classes=n_classes,
                kind=self.kind,
            )

        return TrainingPlan(
            approach=self.name,
            backbone=backbone,
            boundary=0,
            recipe=Recipe(
                epochs=self.planned_epochs,
                learning_rate=self.learning_rate,
                layer_decay=1.0,
                patience=max(4, self.planned_epochs // 3),
            ),
            settings=self.settings,
            warm_head=False,
            make=make,
        )

    @property
    def _source(self) -> Backbone:
        found = self.backbone or default_backbone(TEXT)
        return get_backbone(found) if isinstance(found, str) else found


def untrained(_asked: Asked) -> list[Approach]:
    """A network of texts with random weights, which learns its word vectors as well."""
    return [WordVectors(learned=True)]
