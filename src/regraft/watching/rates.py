"""Counts over time and lengths of stay in, rates and medians with 95 % intervals out.

Letters: n events, t the time they were counted in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from regraft.metrics.rates import Estimate

_TAIL = 0.025


def poisson_rate(n: int, t: float) -> Estimate:
    """n / t with the exact interval of a Poisson count (Garwood 1936, Biometrika 28:437).

    Raises:
        ValueError: t is not above 0.
    """
    from scipy.stats import chi2

    if not t > 0:
        raise ValueError(f"the time is {t}, expected more than 0")
    low = float(chi2.ppf(_TAIL, 2 * n)) / 2 if n else 0.0
    high = float(chi2.ppf(1 - _TAIL, 2 * (n + 1))) / 2
    return Estimate(n / t, low / t, high / t, "poisson")


def rate_ratio(n1: int, t1: float, n2: int, t2: float) -> Estimate | None:
    """(n2 / t2) / (n1 / t1) with its exact interval; None where nothing was counted.

    Given n1 + n2, n2 is binomial; its Clopper-Pearson interval becomes one of the ratio
    (Przyborowski and Wilenski 1940, Biometrika 31:313). The ratio is infinite where n1 is 0.

    Raises:
        ValueError: a time is not above 0.
    """
    from scipy.stats import beta

    if not (t1 > 0 and t2 > 0):
        raise ValueError(f"the times are {t1} and {t2}, expected more than 0")
    n = n1 + n2
    if not n:
        return None
    low = float(beta.ppf(_TAIL, n2, n1 + 1)) if n2 else 0.0
    high = float(beta.ppf(1 - _TAIL, n2 + 1, n1)) if n1 else 1.0
    lowest, highest = (p / (1 - p) * t1 / t2 if p < 1 else math.inf for p in (low, high))
    value = n2 / t2 / (n1 / t1) if n1 else math.inf
    return Estimate(value, lowest, highest, "conditional binomial")


def median_stay(lengths: Sequence[float], is_over: Sequence[bool]) -> Estimate | None:
    """The median length of the Kaplan-Meier curve; None where no stay is over.

    Its interval is where the beta product band around the curve crosses one half (Fay, Brittain
    and Proschan 2013, Biostatistics 14:723): it holds for the fewest stays as well, and is that of
    Clopper and Pearson where all are over. Below six stays it reaches from 0 to infinity; the
    median is infinite where the curve does not come down to one half.

    Args:
        lengths: above 0, any unit.
        is_over: whether the stay was seen to end; otherwise it lasted at least that long.
    """
    if not any(is_over):
        return None
    # Those that end come first among equals: a stay of unknown end was there at that time.
    stays = sorted(zip(lengths, is_over, strict=True), key=lambda stay: (stay[0], not stay[1]))
    share = 1.0  # of stays that last longer
    ended: list[int] = []  # at risk at each end so far
    median = high = math.inf
    low = math.inf if _beta_product([len(stays)], _TAIL) > 0.5 else 0.0
    for left, (length, has_ended) in zip(range(len(stays), 0, -1), stays, strict=True):
        if has_ended:
            ended.append(left)
            share *= 1 - 1 / left
            median = min(median, length) if share <= 0.5 + 1e-9 else median
            high = min(high, length) if _beta_product(ended, 1 - _TAIL) <= 0.5 else high
        # As if the next one ended at once; nothing is known below once none is left.
        if left == 1 or _beta_product([*ended, left - 1], _TAIL) <= 0.5:
            low = min(low, length)
    return Estimate(median, low, high, "kaplan-meier, beta product")


def _beta_product(at_risk: Sequence[int], quantile: float) -> float:
    """A quantile of the product of Beta(y, 1) over y in `at_risk`, by its first two moments.

    Beta(y, 1) is the share of a population that outlasts the first of y of them. The product is
    itself a beta distribution where no number is left out.
    """
    from scipy.stats import beta

    mean = math.prod(y / (y + 1) for y in at_risk)
    variance = math.prod(y / (y + 2) for y in at_risk) - mean**2
    size = mean * (1 - mean) / variance - 1
    return float(beta.ppf(quantile, mean * size, (1 - mean) * size))
