"""Every kind of input fills its record with what the wings further up ask for."""

from __future__ import annotations

import pytest

from regraft.approaches.base import Asked
from regraft.approaches.fine_tune import Tuning
from regraft.backbones.backbone import Backbone
from regraft.errors import UsageError
from regraft.exporting.forms import Form
from regraft.inspection.issues.copies import CopyFinder
from regraft.kinds import KINDS, Kind, Part, kind_in_cells, kind_named, transform_from_dict
from regraft.kinds.base import Reader
from regraft.racing.similarity import Measure
from regraft.serving.intake import Intake

PARTS = {
    "reader": Reader,
    "similarity": Measure,
    "copies": CopyFinder,
    "tuning": Tuning,
    "form": Form,
    "intake": Intake,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
class TestEveryKind:
    @pytest.mark.parametrize("name", PARTS)
    def test_its_parts_are_what_it_says(self, kind: Kind, name: str) -> None:
        assert isinstance(getattr(kind, name)(), PARTS[name])

    def test_its_backbones_are_of_it(self, kind: Kind) -> None:
        backbones = kind.backbones()
        assert backbones
        for backbone in backbones:
            assert isinstance(backbone, Backbone)
            assert backbone.modality == kind.name
            written = backbone.transform.to_dict()
            read = transform_from_dict(written, backbone.transform.files())
            assert read.to_dict() == written

    def test_its_small_network_begins_with_random_weights(self, kind: Kind) -> None:
        assert kind.scratch is not None
        (approach,) = kind.scratch()(Asked(backbones=list(kind.backbones()), kind=kind.name))
        assert approach.name == "scratch"

    def test_it_tells_sizes(self, kind: Kind) -> None:
        assert kind.sizes is not None
        assert callable(kind.sizes())
        assert kind.extent

    def test_its_words_are_words(self, kind: Kind) -> None:
        assert kind.things == f"{kind.thing}s"
        assert kind.example.endswith(tuple(kind.suffixes))
        assert kind.usual.startswith(kind.things)


def test_one_kind_may_be_the_cells_of_a_table() -> None:
    assert [kind for kind in KINDS.values() if kind.in_cells] == [kind_in_cells()]


def test_a_part_is_imported_when_it_is_asked_for() -> None:
    part: Part[Reader] = Part("regraft.kinds.texts.decoding:READER")
    assert part() is kind_in_cells().reader()
    assert Part(KINDS)() is KINDS


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="no modality 'sound'; expected image or text"):
        kind_named("sound")
