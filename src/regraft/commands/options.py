"""Options that several commands have, each named once, and the groups that they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict, cast

import typer

from regraft.approaches import APPROACHES
from regraft.backbones.sources import backbone_forms
from regraft.commands.groups import argument, option
from regraft.commands.printing import Format, hint

if TYPE_CHECKING:
    from regraft.backbones.sources import BackboneOptions
    from regraft.workflow import LabelColumns

Output = Annotated[Format, typer.Option("--format", help="How to print it.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Worker threads; by default one for each core."),
]
ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model folder, or the run folder of a fit.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a fit.")]
UnfamiliarFrom = Annotated[
    float | None, typer.Option(metavar="D", help="Score, 0 to 4, from which a photo is unfamiliar.")
]
Architecture = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="Your own network: for the approach scratch, or to explain a model of it.",
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Labelled images kept out of every choice: the test set."),
]
Budget = Annotated[str, typer.Option(metavar="TIME", help="For the whole run: 90s, 5m, 1h.")]
ImageDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the files named in the table are.")
]
PathColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column with the file or id.")]
TextColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column with the texts themselves.")
]


@dataclass(frozen=True, slots=True)
class Source:
    """Where labelled data are."""

    data: Path = argument("DATA", "Folder of photos or texts, or a table of them.")
    labels: Path | None = option("Table with a file or id column and a label column.", "TABLE")
    image_dir: ImageDir = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table is what."""

    path_column: PathColumn = None
    text_column: TextColumn = None
    label_column: str | None = option("Column with the class.", "NAME")
    split_column: str | None = option("Column with train, val or test.", "NAME")
    group_column: str | None = option(
        "Column whose equal values stay on one side of a split.", "NAME"
    )

    def named(self) -> LabelColumns:
        """Those that were given."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return cast("LabelColumns", given)


@dataclass(frozen=True, slots=True)
class Computing:
    """What a result depends on beside the data, and what its time depends on."""

    seed: int = option("Seed for folds and sampling.", "N", 0, min=0)
    jobs: Jobs = None


class CandidateOptions(TypedDict):
    """Arguments of `workflow.fit` and `workflow.plan`."""

    backbones: Sequence[str]
    approaches: Sequence[str]
    resize: str | None
    backbone_options: BackboneOptions
    architecture: str | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is compared: approaches, pretrained networks, and what is to be known of these."""

    backbone: list[str] | None = option(
        f"Pretrained network: NAME of a built-in one, {backbone_forms()}.",
        "NAME",
    )
    approach: list[str] | None = option(
        f"To try: {', '.join(APPROACHES)}; repeatable.",
        "NAME",
    )
    resize: Literal["crop", "pad", "squash"] | None = option("How a photo becomes square.")
    arch: str | None = option("timm's name for a weights file as --backbone.", "NAME")
    normalize: Literal["torch", "tf", "caffe"] | None = option(
        "What an ONNX file or a module was trained with."
    )
    size: int | None = option("Another size of pictures than the network's own.", "PX")
    accept_licence: bool = option(
        "Use weights whose licence does not allow every use.", default=False
    )
    architecture: Architecture = None

    def chosen(self) -> CandidateOptions:
        """As the calls of `workflow` take them."""
        return {
            "backbones": self.backbone or (),
            "approaches": self.approach or (),
            "resize": self.resize,
            "backbone_options": self._backbone_options(),
            "architecture": self.architecture,
        }

    def _backbone_options(self) -> BackboneOptions:
        """Only what was given, so that run.json says no more."""
        options: BackboneOptions = {}
        if self.arch is not None:
            options["architecture"] = self.arch
        if self.normalize is not None:
            options["normalize"] = self.normalize
        if self.size is not None:
            options["image_size_px"] = self.size
        if self.accept_licence:
            options["accept_licence"] = True
        return options


def same_data(verb: str, source: Source, columns: Columns, *, test: Path | None = None) -> str:
    """Another command on the same data, to copy."""
    options = {"labels": source.labels, "image_dir": source.image_dir, "test": test}
    return hint(verb, source.data, **options, **asdict(columns))
