"""The text of a pull request that moves pins: whole, in numbers that a reader can check, and cut where it is too much."""

from __future__ import annotations

import math

import pytest
from mlrelease.model.gate import GateResult, GateStatus
from mlrelease.render.pull_request import (
    GATES_SHOWN,
    METRICS_SHOWN,
    Explanation,
    Measured,
    PinMove,
    gate_rows,
    pull_request_text,
)

PIN = PinMove("wine", "1", "2", "sha256:ab", "run r7")


def about(**more):
    return Explanation("Pin wine 2 in production", "production", "wine", (PIN,), **more)


def result(gate="metric", status=GateStatus.PASSED, reason="fine", model="wine"):
    return GateResult(gate, f"model:{model}", status, reason)


def test_the_whole_of_a_small_one():
    """Every section, in its order, nothing else."""
    text = pull_request_text(
        about(
            lead="Ada rolled this back.",
            measured=(Measured("wine", "2", "Compared with version 1.", {"rmse": 70.0}, {"rmse": 80.0}),),
            gates=(result(), result("scan", GateStatus.FAILED, "os.system")),
            evidence=("verified in staging",),
            problems=("the ledger was not read",),
            merging=("squash it",),
            undoing=("revert it",),
        )
    )
    assert (
        text
        == """\
Ada rolled this back.

| pin | from | to | MLflow |
| --- | --- | --- | --- |
| wine | 1 | 2 | run r7 |

- wine 2: `sha256:ab`

### Metrics of wine 2

Compared with version 1.

| metric | baseline | now | change |
| --- | --- | --- | --- |
| rmse | 80 | 70 | -10 (-12.5%) |

### Gates: 1 of 2 open

| model | gate | status | reason |
| --- | --- | --- | --- |
| wine | scan | failed | os.system |
| wine | metric | passed | fine |

### Evidence

- verified in staging

### What could not be found out

- the ledger was not read

### To merge

- squash it

### To undo

- revert it
"""
    )


def test_empty_sections_are_left_out():
    """Only the pins: no headings without anything below."""
    assert "###" not in pull_request_text(about())


@pytest.mark.parametrize(
    ("before", "after", "row"),
    [
        (80.0, 70.0, "| 80 | 70 | -10 (-12.5%) |"),
        (0.0, 1.5, "| 0 | 1.5 | +1.5 |"),
        (-2.0, -1.0, "| -2 | -1 | +1 (+50.0%) |"),
        (None, 1.0, "| – | 1 | – |"),
        (1.0, math.nan, "| 1 | nan | – |"),
        (math.inf, 1.0, "| inf | 1 | – |"),
        (0.123456789, 0.2, "| 0.123457 | 0.2 | +0.0765 (+62.0%) |"),
    ],
    ids=["lower", "from nothing", "below zero", "new", "not a number", "from infinity", "long"],
)
def test_numbers_beside_the_baseline_s(before, after, row):
    """The difference, and its share of what was there; none where there is no such thing."""
    compared = {} if before is None else {"m": before}
    text = pull_request_text(about(measured=(Measured("wine", "2", "x", {"m": after}, compared),)))
    assert f"| m {row}" in text


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (Measured("wine", "2", "x"), "MLflow has no metrics of it."),
        (Measured("wine", "2", "x", problem="MLflow did not answer"), "Not read: MLflow did not answer"),
    ],
    ids=["none", "not read"],
)
def test_no_numbers_are_no_table(measured, said):
    """And say why."""
    text = pull_request_text(about(measured=(measured,)))
    assert said in text
    assert "| metric |" not in text


def test_a_run_with_thousands_of_metrics_is_cut_with_a_mark():
    """The first by name, and how many are left."""
    values = {f"m{number:04d}": 1.0 for number in range(3000)}
    text = pull_request_text(about(measured=(Measured("wine", "2", "x", values),)))
    assert text.count("| m0") == METRICS_SHOWN
    assert f"… and {3000 - METRICS_SHOWN} more" in text


def test_gates_that_do_not_open_come_first_and_are_never_cut():
    """Of a fleet, what opens may be left out, and how much is said."""
    results = [result(model=f"m{n}") for n in range(1000)] + [result("scan", GateStatus.FAILED, "no", "last")]
    rows, left = gate_rows(results)
    assert rows[0] == ("last", "scan", "failed", "no")
    assert (len(rows), left) == (GATES_SHOWN, 1001 - GATES_SHOWN)
    assert f"… and {left} more that open" in pull_request_text(about(gates=tuple(results)))


def test_what_comes_from_outside_is_inert():
    """Names of runs and metrics, reasons and problems are other people's."""
    evil = "@acme <b>x</b> [l](https://evil.example) #1"
    text = pull_request_text(
        Explanation(
            "t",
            "production",
            "wine",
            (PinMove(evil, evil, evil, evil, evil),),
            (Measured(evil, evil, evil, {evil: 1.0}, {evil: 2.0}),),
            (result(evil, reason=evil, model=evil),),
            (evil,),
            (evil,),
            (evil,),
            (evil,),
            evil,
        )
    )
    outside_of_code = "\n".join(line.partition("`")[0] for line in text.splitlines())
    for sign in ("@acme", "<b>", "](", "https://evil", "#1"):
        assert sign not in outside_of_code
