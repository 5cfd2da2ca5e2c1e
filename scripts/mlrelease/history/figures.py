"""Numbers of a set, exact and honest about how many there were: a share, and a spread of seconds. Pure, in decimals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

MILLI = Decimal("0.001")
TEN_THOUSANDTH = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`."""

    part: int
    whole: int

    @property
    def rate(self) -> Decimal | None:
        """Between 0 and 1, to four places; None of nothing."""
        return (Decimal(self.part) / self.whole).quantize(TEN_THOUSANDTH) if self.whole else None


@dataclass(frozen=True, slots=True)
class Spread:
    """`n` durations in seconds: their median, the 90th percentile by nearest rank, and the longest. None of nothing."""

    n: int
    median: Decimal | None = None
    p90: Decimal | None = None
    longest: Decimal | None = None


def seconds(value: float) -> Decimal:
    """A duration to the millisecond; never below zero, for the clocks of two hosts may differ."""
    return max(Decimal(0), Decimal(repr(value)).quantize(MILLI))


def spread(values: Iterable[Decimal]) -> Spread:
    """The spread of these durations, whatever their order."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Spread(n, middle.quantize(MILLI), ordered[math.ceil(Decimal(9 * n) / 10) - 1], ordered[-1])
