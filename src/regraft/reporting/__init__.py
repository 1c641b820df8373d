"""A finished run in, one HTML file that opens offline out.

Nothing in the page is fetched and nothing in it runs: photos are data URIs, charts are inline
SVG, and a content security policy forbids both requests and scripts. The page answers, in this
order: can I trust it, how good is it, where does it fail, what is in my data, which approach and
why, what else was tried, what did transfer buy, how did training go, would more photos help, what
was run. Of what a run does not hold, nothing is shown.

    report      `build_report`, which calls the parts below from top to bottom
    checks      can I trust it: one answer a line, with its reason
    scores      metrics, classes, confusions and calibration of each estimate
    gallery     confident errors, samples of each class, predictions without a label
    findings    what was in the data: class balance, files left out, issues, sizes
    guidance    the rule of thumb and whether it held; what transfer bought
    training    losses by epoch, learning rates, whether a candidate over- or underfits
    more_photos accuracy by number of training photos, and a forecast
    provenance  candidates compared, settings, versions, time, what to do next
    thumbnails  photos as small data URIs
    charts      numbers to positions: the geometry that the templates draw
    words       numbers and names as text for people

The templates hold all markup; everything they insert is escaped.
"""

from __future__ import annotations

from regraft.reporting.report import build_report

__all__ = ["build_report"]
