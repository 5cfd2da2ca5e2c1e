"""The gate `signature`: what may change between two versions so that whoever asked the old one can ask the new one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.gates.interface import Column, Evidence, Signature
from mlrelease.gates.signature import WIDER, evaluate
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import READY, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
ACCEPTED = {("integer", "long"), ("integer", "double"), ("long", "double"), ("float", "double")}
SAME = "it accepts what version 7 (recorded) accepted, and answers in the same form"


def columns(text: str) -> tuple[Column, ...] | None:
    """`a double, b long?` as columns; a name may be left out, `none` is no declaration at all, `?` may be left out."""
    if text == "none":
        return None
    parts = [part.strip() for part in text.split("; ")] if text else []
    found = []
    for part in parts:
        name, _, kind = part.rpartition(" ") if not part.endswith(")") else part.partition("tensor(")
        kind = f"tensor({kind}" if part.endswith(")") else kind
        found.append(Column(name.strip(), kind.removesuffix("?"), not kind.endswith("?")))
    return tuple(found)


def signature(inputs: str, outputs: str = "y double") -> Signature:
    return Signature(columns(inputs), columns(outputs))


def word(base, mine, *, options=None, of=None, **more):
    evidence = Evidence(READY, asked=True, signature=mine, baseline_signature=base, **more)
    return evaluate(options or {}, of or subject(), evidence)


@pytest.mark.parametrize(
    ("base", "mine", "reason"),
    [
        ("a double", "a double", SAME),
        ("a double; b long", "b long; a double", SAME),
        ("a integer", "a long", f"{SAME}; input a was integer and is long"),
        ("a double; b long", "a double", f"{SAME}; input b is no longer used"),
        ("a double; b long?", "a double", f"{SAME}; input b is no longer used"),
        ("a double", "a double; b long?", f"{SAME}; new optional input b"),
        ("a double", "a double?", SAME),
        ("a string", "a any", f"{SAME}; input a was string and is any"),
        ("", "", SAME),
        ("double; long", "double; long", SAME),
        ("double; long", "double", f"{SAME}; input #2 is no longer used"),
        ("integer", "double", f"{SAME}; input #1 was integer and is double"),
        ("tensor(float32, [-1, 4])", "tensor(float32, [-1, 4])", SAME),
        ("tensor(float32, [1, 4])", "tensor(float32, [-1, 4])", None),
        ("tensor(float32, [8, 4])", "tensor(float32, [-1, -1])", None),
        ("x tensor(int64, [-1])", "x tensor(int64, [-1])", SAME),
        ("none", "a double", f"{SAME}; new optional input a"),
        ("a double; b integer; c integer; d integer", "a double; b long; c long; d long", None),
    ],
)
def test_a_superset_passes(base, mine, reason):
    """Order, wider types, dropped inputs and new optional ones break nobody; what changed is said."""
    result = word(signature(base), signature(mine))
    assert result.status is PASSED
    if reason and base != "none":
        assert result.reason == reason


@pytest.mark.parametrize(
    ("base", "mine", "reason"),
    [
        ("a double", "a double; b long", "new required input b (long)"),
        ("a double", "b double", "new required input b (double)"),
        ("a double?", "a double", "input a could be left out and is now required"),
        ("a double", "a float", "input a was double and is float"),
        ("a double", "a long", "input a was double and is long"),
        ("a string", "a double", "input a was string and is double"),
        ("a any", "a string", "input a was any and is string"),
        ("double", "double; long", "new required input #2 (long)"),
        ("a double", "double", "new required input #1 (double)"),
        ("double", "a double", "new required input a (double)"),
        ("a double", "tensor(float64, [-1, 4])", "it takes tensors where columns were taken"),
        ("tensor(float64, [-1, 4])", "a double", "it takes columns where tensors were taken"),
        (
            *("tensor(float32, [-1, 4])", "tensor(float64, [-1, 4])"),
            "input #1 was tensor(float32, [-1, 4]) and is tensor(float64, [-1, 4])",
        ),
        (
            *("tensor(float32, [-1, 4])", "tensor(float32, [-1, 5])"),
            "input #1 was tensor(float32, [-1, 4]) and is tensor(float32, [-1, 5])",
        ),
        (
            *("tensor(float32, [-1, 4])", "tensor(float32, [1, 4])"),
            "input #1 was tensor(float32, [-1, 4]) and is tensor(float32, [1, 4])",
        ),
        (
            *("tensor(float32, [-1, 4])", "tensor(float32, [-1, 4, 4])"),
            "input #1 was tensor(float32, [-1, 4]) and is tensor(float32, [-1, 4, 4])",
        ),
        ("x tensor(int64, [-1]); y tensor(int64, [-1])", "x tensor(int64, [-1])", "input y is gone"),
        (
            "",
            "a double; b double; c double; d double; e double",
            "new required input a (double); new required input b (double); new required input c (double) (and 2 more)",
        ),
    ],
)
def test_a_request_that_would_be_refused_or_misread_fails(base, mine, reason):
    """The reason names the column, what it was and what it is."""
    result = word(signature(base), signature(mine))
    assert (result.status, result.reason) == (FAILED, f"{reason}, against version 7 (recorded)")
    assert result.evidence["broken"]


@pytest.mark.parametrize(
    ("base", "mine", "reason"),
    [
        ("y double", "y double", None),
        ("y double", "y long", None),
        ("y double", "y float", None),
        ("none", "y string", None),
        ("none", "none", None),
        ("y any", "y string", None),
        ("tensor(int64, [-1])", "tensor(int64, [-1])", None),
        ("tensor(int64, [-1])", "tensor(int64, [3])", None),
        ("y double?", "y double", None),
        ("y long", "y double", "output y was long and is double"),
        ("y double", "y string", "output y was double and is string"),
        ("y double", "z double", "output y is gone; new output z (double)"),
        ("y double", "y double; z double", "new output z (double)"),
        ("y double; z double", "y double", "output z is gone"),
        ("y double", "none", "it no longer declares what it answers"),
        ("y double", "y double?", "output y was always there and may now be left out"),
        ("tensor(int64, [3])", "tensor(int64, [-1])", "output #1 was tensor(int64, [3]) and is tensor(int64, [-1])"),
        ("tensor(int64, [-1])", "tensor(float64, [-1])", "output #1 was tensor(int64, [-1]) and is tensor(float64, [-1])"),
        ("y double", "tensor(float64, [-1])", "output y is gone; new output #1 (tensor(float64, [-1]))"),
    ],
)
def test_answers_keep_their_names_and_fit_the_earlier_types(base, mine, reason):
    """For answers the direction is turned round: whoever reads doubles can read longs, not the other way."""
    result = word(signature("a double", base), signature("a double", mine))
    if reason is None:
        assert (result.status, result.reason) == (PASSED, SAME)
    else:
        assert (result.status, result.reason) == (FAILED, f"{reason}, against version 7 (recorded)")


@pytest.mark.parametrize("mine", TYPES)
@pytest.mark.parametrize("base", TYPES)
def test_the_whole_table_of_types(base, mine):
    """All 64 pairs, written out: equal ones and four that widen."""
    expected = PASSED if base == mine or (base, mine) in ACCEPTED else FAILED
    assert word(signature(f"a {base}"), signature(f"a {mine}")).status is expected
    assert word(signature("a long", f"y {mine}"), signature("a long", f"y {base}")).status is expected
    assert ((base, mine) in ACCEPTED) is (mine in WIDER.get(base, ()))


@pytest.mark.parametrize(
    ("options", "mine", "baseline", "status", "skip", "reason"),
    [
        (
            *({}, Signature(None, None), signature("a long"), FAILED, None),
            "risk version 8 declares no inputs: log it with a signature or an input example",
        ),
        (
            *({"required": False}, Signature(None, None), signature("a long"), SKIPPED, SkipReason.NOT_APPLICABLE),
            "it has no signature, and none is required",
        ),
        (
            *({}, signature("a long"), Signature(None, None), SKIPPED, SkipReason.NOT_APPLICABLE),
            "the baseline, version 7 (recorded), declares no signature: nothing was promised",
        ),
        (
            *({}, Signature(None, columns("y long")), signature("a long"), FAILED, None),
            "risk version 8 declares no inputs: log it with a signature or an input example",
        ),
    ],
    ids=["none is required", "none, and none required", "the baseline has none", "outputs alone are no signature"],
)
def test_a_missing_signature(options, mine, baseline, status, skip, reason):
    """By policy a version must declare one; a baseline that never did promised nothing."""
    result = word(baseline, mine, options=options)
    assert (result.status, result.skip_reason, result.reason) == (status, skip, reason)


@pytest.mark.parametrize(
    ("mine", "status", "skip", "reason"),
    [
        (
            *(signature("a long; b long"), SKIPPED, SkipReason.FIRST_DEPLOY),
            "it declares 2 inputs and 1 output; first deploy here: nothing to compare with",
        ),
        (
            *(Signature(None, None), FAILED, None),
            "risk version 8 declares no inputs: log it with a signature or an input example",
        ),
    ],
    ids=["with a signature", "without"],
)
def test_a_first_deploy_must_declare_one(mine, status, skip, reason):
    """The second version will be compared with it."""
    result = word(None, mine, of=subject(baseline=None))
    assert (result.status, result.skip_reason, result.reason) == (status, skip, reason)


@pytest.mark.parametrize(
    ("evidence", "status", "reason"),
    [
        (Evidence(error="down"), ERRORED, "down"),
        (Evidence(READY, asked=True, digest_error="cannot read MLmodel"), ERRORED, "cannot read MLmodel"),
        (Evidence(READY, asked=True), ERRORED, "its files were not read, or are not the pin's"),
        (Evidence(None, asked=True), FAILED, "risk version 8 does not exist: it has no signature"),
        (
            Evidence(READY, asked=True, signature=signature("a long"), baseline_error="down"),
            *(ERRORED, "the baseline, version 7 (recorded), cannot be read: down"),
        ),
        (
            Evidence(READY, asked=True, signature=signature("a long")),
            *(ERRORED, "the baseline, version 7 (recorded), cannot be read: its files were not read"),
        ),
        (
            Evidence(READY, asked=True, signature=signature("a long"), baseline_gone="is no longer in MLflow"),
            *(INCONCLUSIVE, "nothing to compare with: the baseline, version 7 (recorded), is no longer in MLflow"),
        ),
    ],
    ids=[
        "registry down",
        "no MLmodel",
        "nobody looked",
        "no such version",
        "baseline down",
        "baseline unread",
        "baseline gone",
    ],
)
def test_what_could_not_be_read(evidence, status, reason):
    """Errored where another try may help, inconclusive where nothing is left to compare with."""
    result = evaluate({}, subject(), evidence)
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("direction", "skip"),
    [(Direction.BACK, SkipReason.ROLLBACK), (Direction.NONE, SkipReason.NOT_APPLICABLE)],
    ids=["back", "not at all"],
)
def test_only_what_moves_forward_is_compared(direction, skip):
    """Going back needs no file of anything newer."""
    result = evaluate({}, subject(direction), Evidence(error="down"))
    assert (result.status, result.skip_reason) == (SKIPPED, skip)


def test_an_unknown_option_is_errored():
    """An option that does nothing would look like a rule."""
    result = word(signature("a long"), signature("a long"), options={"requierd": False})
    assert (result.status, result.reason) == (ERRORED, "the gate has no option 'requierd'")


names = st.sampled_from("abcdef")
kinds = st.sampled_from([*TYPES, "any"])
parts = st.lists(st.builds(Column, names, kinds, st.booleans()), max_size=5, unique_by=lambda c: c.name).map(tuple)
signatures = st.builds(Signature, parts, parts)


@given(signatures)
def test_a_signature_is_compatible_with_itself_in_any_order(mine):
    """The order of columns is nothing that MLflow looks at."""
    turned = Signature(tuple(reversed(mine.inputs)), tuple(reversed(mine.outputs)))
    assert word(mine, turned).status is PASSED


@given(signatures, signatures, signatures)
def test_compatibility_is_transitive(first, second, third):
    """Two safe steps are one safe step, unless an input was dropped and came back as another."""
    if word(first, second).status is PASSED and word(second, third).status is PASSED:
        kept = {c.name for c in second.inputs}
        if all(c.name in kept or c.name not in {d.name for d in first.inputs} for c in third.inputs):
            assert word(first, third).status is PASSED


@given(signatures, signatures)
def test_any_two_signatures_give_one_word_as_json(base, mine):
    """No pair raises; a failure always names what is broken."""
    result = word(base, mine)
    json.dumps(result.to_json())
    assert (result.status is FAILED) is bool(result.evidence.get("broken"))
