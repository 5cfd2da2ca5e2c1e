"""Signatures that no library writes: whatever an MLmodel says, there is one word on it, and the strict one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.gates.interface import Column, Evidence, Signature
from mlrelease.model.gate import GateStatus
from support.gating import READY, judge, subject

FRAME = "tensor(float32, [-1, 4])"
SAME = "it accepts what version 7 (recorded) accepted, and answers in the same form"


def against(base, mine, **more):
    return judge("signature", {}, subject(), Evidence(READY, asked=True, signature=mine, baseline_signature=base, **more))


def inputs(*types):
    return Signature(tuple(Column("", kind) for kind in types), (Column("y", "double"),))


@pytest.mark.parametrize(
    "kind",
    [
        "tensor(float32, [x, [4])",
        "tensor(float32, [1,4])",
        "tensor(float32, [1, 4]",
        "tensor(float32, [1 4])",
        "tensor(float32, [--1, 4])",
        "tensor(float32, [1.0, 4])",
        "tensor(float32, [null, 4])",
        "tensor(float32, [01, [4])",
        "tensor(float32, [" + "9" * 5000 + ", 4])",
        "tensor(float 32, [1, 4])",
        "tensor(float32, [1, 4])\n",
        "tensor(float32, [١, 4])",
        "tensor()",
        "tensor(",
    ],
    ids=[
        "a bracket in its type",
        "no blank",
        "no end",
        "no comma",
        "a sign twice",
        "a fraction",
        "null",
        "a list within a list",
        "a number of thousands of digits",
        "a type of two words",
        "a line break",
        "a digit of another script",
        "nothing inside",
        "nothing at all",
    ],
)
def test_a_tensor_that_cannot_be_read_fits_nothing_but_itself(kind):
    """The gate closes with both types named, and does not raise; what is written alike is alike."""
    assert against(inputs(FRAME), inputs(kind)).status is GateStatus.FAILED
    assert against(inputs(kind), inputs(kind)).status is GateStatus.PASSED
    if "9999" not in kind:
        assert against(inputs(kind), inputs(FRAME)).reason == (
            f"input #1 was {kind} and is {FRAME}, against version 7 (recorded)"
        )


@pytest.mark.parametrize(
    ("inner", "outer", "fits"),
    [
        ("[]", "[]", True),
        ("[]", "[-1]", False),
        ("[-1]", "[]", False),
        ("[0]", "[-1]", True),
        ("[-1]", "[0]", False),
        ("[1, 2, 3]", "[-1, -1, -1]", True),
        ("[1, 2]", "[-1, -1, -1]", False),
        ("[12]", "[1]", False),
        ("[1]", "[12]", False),
        ("[-1, 4]", "[4, -1]", False),
        ("[4, -1]", "[-1, -1]", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shape_fits_where_each_size_does(inner, outer, fits):
    """`-1` holds any size; the number of dimensions is part of the shape."""
    found = against(inputs(f"tensor(float32, {inner})"), inputs(f"tensor(float32, {outer})"))
    assert (found.status is GateStatus.PASSED) is fits


shapes = st.lists(st.integers(-1, 3), max_size=3)


@given(shapes, shapes, shapes)
@settings(max_examples=60, deadline=None)
def test_fitting_is_an_order_among_shapes(first, second, third):
    """Each fits itself; what fits what fits, fits; and both ways only what is equal."""

    def fits(inner, outer):
        return against(inputs(f"tensor(int64, {inner})"), inputs(f"tensor(int64, {outer})")).status is GateStatus.PASSED

    assert fits(first, first)
    assert not (fits(first, second) and fits(second, third)) or fits(first, third)
    assert not (fits(first, second) and fits(second, first)) or first == second


@pytest.mark.parametrize(
    ("base", "mine", "notes"),
    [
        (Signature(None, (Column("y", "double"),)), Signature((Column("a", "long"),), (Column("y", "double"),)), []),
        (
            Signature((Column("a", "long"),), None),
            Signature((Column("a", "double"), Column("b", "long", required=False)), None),
            ["new optional input b", "input a was long and is double"],
        ),
        (
            Signature(tuple(Column(name, "long") for name in "abcd"), None),
            Signature((), None),
            [f"input {name} is no longer used" for name in "abcd"],
        ),
        (Signature((), None), Signature((), (Column("y", "double"),)), []),
    ],
    ids=["a baseline that said nothing of its inputs", "a wider type beside a new one", "more than are named", "new outputs"],
)
def test_what_changed_without_breaking_anybody_is_noted(base, mine, notes):
    """The first three in the sentence, all of them in the receipt."""
    result = against(base, mine)
    assert (result.status, result.evidence["notes"]) == (GateStatus.PASSED, notes)
    assert result.reason == "; ".join([SAME, *notes[:3]])


def test_everything_that_is_broken_stands_in_the_receipt():
    """Inputs before outputs, the first three in the sentence, and whose promise it was."""
    base = Signature((Column("a", "long"),), (Column("y", "double"), Column("z", "double")))
    mine = Signature((Column("a", "string"), Column("b", "long")), (Column("y", "string"),))
    result = against(base, mine)
    broken = [
        "input a was long and is string",
        "new required input b (long)",
        "output z is gone",
        "output y was double and is string",
    ]
    assert result.reason == f"{'; '.join(broken[:3])} (and 1 more), against version 7 (recorded)"
    assert result.evidence == {"broken": broken, "baseline": {"version": "7", "origin": "recorded"}}


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, " (and 1 more)")], ids=["three are all named", "of four one is not"])
def test_how_many_are_named(count, more):
    """Three fit a line."""
    mine = Signature(tuple(Column(f"c{n}", "long") for n in range(count)), None)
    result = against(Signature((), None), mine)
    assert result.reason.endswith(f"new required input c2 (long){more}, against version 7 (recorded)")


@pytest.mark.parametrize(
    ("signature", "declares"),
    [
        (Signature((), None), "0 inputs and 0 outputs"),
        (Signature((Column("a", "long"),), ()), "1 input and 0 outputs"),
        (Signature((Column("a", "long"),) * 2, (Column("y", "long"),)), "2 inputs and 1 output"),
        (Signature((), (Column("y", "long"),) * 2), "0 inputs and 2 outputs"),
    ],
    ids=["nothing", "one input", "two and one", "outputs alone"],
)
def test_a_first_deploy_says_what_it_declares(signature, declares):
    """One is one."""
    result = judge("signature", {}, subject(baseline=None), Evidence(READY, asked=True, signature=signature))
    assert result.reason == f"it declares {declares}; first deploy here: nothing to compare with"
