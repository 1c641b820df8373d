"""Prepared data in, data that can be split out: what cannot be read is marked, what belongs
together has a group, and there is a test set where one is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from regraft.backbones.backbone import Backbone
from regraft.dataset import Dataset, leave_out_small_classes, require_trainable, set_aside
from regraft.dataset.overlaps import overlap_with, without_known_test_rows
from regraft.inspection.auditing import (
    ByOrder,
    Inspection,
    PairOfFolds,
    has_time_to_embed,
    inspect_issues,
    mark_unreadable,
    pair_of_folds,
)
from regraft.inspection.exploring import Exploration, explore
from regraft.inspection.grouping import keep_together
from regraft.kinds import things
from regraft.progress import note
from regraft.workflow.preparing import Prepared, Tools


@dataclass(frozen=True, slots=True)
class Decoded:
    """The data with the files marked that cannot be decoded.

    Attributes:
        dataset: of all splits.
        network: whose features tell what belongs together; None where there is none.
        embeds: whether there is time for its features.
    """

    dataset: Dataset
    network: Backbone | None
    embeds: bool


@dataclass(frozen=True, slots=True)
class Inspected:
    """Data that can be split, and what was seen on them.

    Attributes:
        dataset: near copies and series have a group; with a test set from 1,000 rows on.
        readable: the same before anything was grouped or held out.
        inspection: what was found on `readable`; None where there was no time.
        by_order: what the order of the photos means, before folds are compared.
        pair: the folds to be compared for that; None where the order means nothing.
        test_was_given: whether the test set came with the data.
    """

    dataset: Dataset
    readable: Dataset
    inspection: Inspection | None
    by_order: ByOrder
    pair: PairOfFolds | None
    test_was_given: bool


def decode_data(prepared: Prepared, tools: Tools) -> Decoded:
    """Find out what cannot be decoded, by decoding everything.

    The features, or the measures where there is no time for features, go to the cache, where what
    comes later finds them.
    """
    network = prepared.network
    with tools.phase("features"):
        # What looks at every depth is tried first and whatever it takes: its pass is this one.
        embeds = network is not None and (
            prepared.every_depth
            or has_time_to_embed(prepared.dataset, network, budget_s=tools.clock.left)
        )
        if not embeds:
            dataset = mark_unreadable(prepared.dataset, None, tools.jobs, tools.progress)
            return Decoded(dataset, network, embeds=False)
        dataset = mark_unreadable(
            prepared.dataset,
            network,
            tools.jobs,
            tools.progress,
            every_depth=prepared.every_depth,
        )
    return Decoded(dataset, network, embeds=True)


def look_for_issues(decoded: Decoded, tools: Tools) -> Inspection | None:
    """What is wrong with the data; None where there is no time to look at them."""
    with tools.phase("audit"):
        return inspect_issues(
            decoded.dataset,
            decoded.network,
            embeds=decoded.embeds,
            budget_s=tools.clock.left,
            seed=tools.seed,
            jobs=tools.jobs,
            progress=tools.progress,
        )


def inspect_data(prepared: Prepared, tools: Tools) -> Inspected:
    """Decode everything, look at it, and keep together what belongs together.

    Raises:
        DataError: too little of the data can be read.
    """
    decoded = decode_data(prepared, tools)
    readable = leave_out_small_classes(decoded.dataset)
    require_trainable(readable)
    inspection = look_for_issues(replace(decoded, dataset=readable), tools)
    dataset, by_order, pair = readable, ByOrder(), None
    with tools.phase("audit"):
        if inspection is not None:
            grouped = keep_together(readable, inspection.findings)
            pair = pair_of_folds(readable, inspection.findings, grouped)
            if inspection.findings.series is not None:
                by_order = ByOrder.of(inspection.findings.series, grouped)
            dataset = leave_out_small_classes(grouped.data)
            require_trainable(dataset)
    dataset, test_was_given = _with_test_set(
        dataset, prepared.networks, was_given=bool(readable.test), seed=tools.seed
    )
    return Inspected(dataset, readable, inspection, by_order, pair, test_was_given)


def draw_map(inspected: Inspected, tools: Tools) -> Exploration | None:
    """The map of the data for the report; None where features or measures are missing."""
    inspection = inspected.inspection
    if inspection is None or inspection.features is None or inspection.measures is None:
        return None
    note(tools.progress, f"drawing the map of the {things(inspected.readable.modality)}")
    with tools.phase("audit"):
        return explore(
            inspected.readable,
            inspection.findings,
            inspection.features,
            inspection.measures,
            seed=tools.seed,
        )


def _with_test_set(
    dataset: Dataset, networks: Sequence[Backbone], *, was_given: bool, seed: int
) -> tuple[Dataset, bool]:
    """The dataset with a test set that no backbone was trained on, and whether it was given."""
    contents = [network.contents for network in networks]
    if was_given:
        dataset = without_known_test_rows(dataset, contents, was_given=True)
    is_given = bool(dataset.test)
    dataset = set_aside(dataset, seed=seed)
    if not is_given:
        dataset = without_known_test_rows(dataset, contents, was_given=False)
    notes = [
        f"{network.name} had been trained on {overlap.flattering:,} of the "
        f"{len(dataset.train):,} training {things(dataset.modality)}, labels included: "
        "cross-validation flatters what is built on it."
        for network in networks
        if (overlap := overlap_with(dataset.train, network.contents)).flattering
    ]
    return replace(dataset, notes=(*dataset.notes, *notes)), is_given
