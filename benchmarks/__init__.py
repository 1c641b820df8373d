"""Measurements of what regraft promises, each against its target: `python -m benchmarks`.

One idea a file; each opens with what it measures, its command, its data and the figures to
expect. `registry` lists them. What every one of them needs:

    rows       a measurement beside its target, and the Markdown table
    data       where the photos are, and caches apart from the user's own
    timing     alternating repeats, and whole processes timed from outside
    pools      labelled sets with their features, to draw training sets from
    batched    all logistic regressions of a cross-validation at once
    machine    what it was measured on
"""
