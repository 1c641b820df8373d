"""A finished run in, or several, one HTML file that opens offline out.

Nothing in the page is fetched: photos are data URIs, charts are inline SVG, and a content security
policy forbids all requests and every script but the page's own. The page answers, in this
order: can I trust it, how good is it, where does it fail, what is in my data, which approach and
why, what else was tried, what did transfer buy, how did training go, would more photos help, what
was run. Of what a run does not hold, nothing is shown.

    report      `build_report`, which calls the parts from `checks` to `provenance`, top to bottom
    data_report `build_data_report`, of an audit: the section on the data only
    checks      can I trust it: one answer a line, with its reason (`answers`); `class_check`,
                `shortcut_checks` and `series` have files of their own
    scores      metrics, classes, confusions and calibration of each estimate
    gallery     confident errors, typical hits, samples of each class, predictions without a label
    heat_maps   colours laid over photos, and what they mean
    findings    what was in the data: class balance, files left out, issues, sizes
    exploration the map, how classes keep apart, facts by class, what facts alone tell
    reviewed    what a review of the photos changed, the accuracy before it and now
    guidance    the rule of thumb and whether it held; what transfer bought
    training    losses by epoch, learning rates, whether a candidate over- or underfits
    more_photos accuracy by number of training photos, and a forecast
    provenance  candidates compared, settings, versions, time, what to do next
    side_by_side  `build_side_by_side`: the same questions to several runs
    columns     tables with a column for each run
    disagreement  photos on which runs disagree, or on which all are wrong
    pages       what every page shares: its top, and how a template becomes text
    thumbnails  photos as small data URIs
    charts      numbers to positions: the geometry that the templates draw
    words       numbers and names as text for people

The templates hold all markup; everything they insert is escaped.
"""

from __future__ import annotations

from regraft.reporting.data_report import build_data_report
from regraft.reporting.report import build_report
from regraft.reporting.side_by_side import best_run, build_side_by_side

__all__ = ["best_run", "build_data_report", "build_report", "build_side_by_side"]
