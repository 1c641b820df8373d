"""What is asked of a fit: arguments in; the same as settings, as a command line, as a signature."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft as rg
from regraft import workflow
from regraft.commands import app
from regraft.errors import UsageError
from regraft.workflow.request import FitRequest, PlanRequest, command_of, takes


def test_one_name_is_as_good_as_a_list_of_one() -> None:
    request = PlanRequest("photos", approaches="knn", backbones=["a", "b"])
    assert request.approaches == ("knn",)
    assert request.backbones == ("a", "b")


@pytest.mark.parametrize("budget_s", [0, -1.0])
def test_a_budget_of_no_time_is_refused(budget_s: float) -> None:
    with pytest.raises(UsageError, match=r"expected more than 0, such as 5m"):
        PlanRequest("photos", budget_s=budget_s)


def test_settings_that_say_nothing_make_the_shortest_command() -> None:
    asked = FitRequest("/photos").settings(decisions=None, corrections=None)
    assert command_of(asked) == "regraft fit /photos"
    assert command_of({"data": "/photos"}) == "regraft fit /photos", "those of an earlier version"


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "labels": st.just("/labels.csv"),
    "image_dir": st.just("/files of it"),
    "test": st.just("/test"),
    "columns": st.just({"label_column": "kind", "path_column": "file name"}),
    "budget_s": st.floats(0.5, 1e6).map(lambda s: round(s, 3)),
    "backbones": st.lists(st.sampled_from(["a", "b c"]), max_size=2),
    "approaches": st.lists(st.sampled_from(["knn", "linear_probe"]), max_size=2),
    "resize": st.sampled_from(["crop", "pad", "squash"]),
    "backbone_options": st.fixed_dictionaries(
        {},
        optional={
            "architecture": st.just("resnet18"),
            "normalize": st.sampled_from(["torch", "tf", "caffe"]),
            "image_size_px": st.integers(1, 999),
            "accept_licence": st.just(True),
        },
    ),
    "architecture": st.just("torchvision.models:resnet18"),
    "seed": st.integers(0, 2**31),
}


@settings(deadline=None, max_examples=40)
@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_the_command_line_of_a_request_makes_the_same_request(options: dict[str, Any]) -> None:
    asked = FitRequest("/a b", **options).settings(decisions=None, corrections=None)
    words = shlex.split(command_of(asked, Path("/out")))
    assert words[:5] == ["regraft", "fit", "/a b", "--out", "/out"]
    assert _settings_of(words) == asked


def _settings_of(words: list[str]) -> dict[str, Any]:
    """Settings by way of the real command line, whose fit is not run."""
    asked: list[FitRequest] = []

    def remember(*given: Any, **options: Any) -> None:
        asked.append(FitRequest(*given, **options))
        raise UsageError("it was only asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "fit", remember)
        assert app.run(words[1:]) != 0
    return asked[0].settings(decisions=None, corrections=None)


def test_a_function_of_a_record_has_its_signature_and_its_documentation() -> None:
    @takes(PlanRequest)
    def summed(request: PlanRequest) -> float:
        """Budget and seed together.

        Raises:
            ValueError: never.
        """
        return request.budget_s + request.seed

    assert summed("photos", seed=3, budget_s=2.0) == 5.0
    assert list(inspect.signature(summed).parameters)[:2] == ["data", "labels"]
    assert inspect.signature(summed).return_annotation == "float"
    lines = (inspect.getdoc(summed) or "").splitlines()
    assert lines[:3] == ["Budget and seed together.", "", "Args:"]
    assert lines[-3:] == ["", "Raises:", "    ValueError: never."]
    assert "    seed: of splits, folds and samples." in lines


@pytest.mark.parametrize("verb", [rg.fit, rg.plan])
def test_every_option_is_documented(verb: Any) -> None:
    lines = (inspect.getdoc(verb) or "").splitlines()
    for name in inspect.signature(verb).parameters:
        assert sum(line.startswith(f"    {name}: ") for line in lines) == 1, name
