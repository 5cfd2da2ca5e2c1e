"""Exact arithmetic on numbers as people write them: 0.85 is eighty-five hundredths here, and no power of two."""

from __future__ import annotations

import math
from fractions import Fraction


def exact(number: float) -> Fraction:
    """The decimal that the finite `number` is written as (its shortest form), so that 0.80 + 0.05 is 0.85."""
    return Fraction(repr(number))


def is_number(value: object) -> bool:
    """Whether `value` is a finite number that a float holds, and no truth value."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def text(number: Fraction | float) -> str:
    """Six significant digits, for a sentence."""
    try:
        return f"{float(number):.6g}"
    except OverflowError:  # a share of a very small baseline
        return "over 1e+308" if number > 0 else "under -1e+308"


def apart(left: float, right: float) -> tuple[str, str]:
    """Both for a sentence: in full where six digits would make two different numbers look equal."""
    short = text(left), text(right)
    return (repr(left), repr(right)) if short[0] == short[1] and left != right else short
