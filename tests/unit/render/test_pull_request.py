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


def test_with_nothing_but_pins_it_is_their_table():
    """No headings without anything below; where it was trained is a dash where nobody knows."""
    pins = (PIN, PinMove("image", "serve:1", "serve:2", "sha256:cd"))
    assert (
        pull_request_text(Explanation("Pin", "production", "wine", pins))
        == """\
| pin | from | to | MLflow |
| --- | --- | --- | --- |
| wine | 1 | 2 | run r7 |
| image | serve:1 | serve:2 | – |

- wine 2: `sha256:ab`
- image serve:2: `sha256:cd`
"""
    )


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


def gate_lines(text):
    """The rows of the table of gates, and what is said below it."""
    lines = text.partition("### Gates")[2].partition("\n###")[0].splitlines()[4:]
    return [line for line in lines if line.startswith("|")], [line for line in lines if line.startswith("…")]


def test_gates_that_do_not_open_come_first():
    """Of a fleet, what opens may be left out, and how much is said."""
    results = [result(model=f"m{n}") for n in range(1000)] + [result("scan", GateStatus.FAILED, "no", "last")]
    rows, more = gate_lines(pull_request_text(about(gates=tuple(results))))
    assert rows[0] == "| last | scan | failed | no |"
    assert (len(rows), more) == (GATES_SHOWN, [f"… and {1001 - GATES_SHOWN} more that open"])


@pytest.mark.parametrize(
    ("shut", "opened", "more"),
    [
        (GATES_SHOWN, 0, []),
        (GATES_SHOWN, 1, ["… and 1 more that open"]),
        (GATES_SHOWN + 1, 0, ["… and 1 more, of which 1 do not open"]),
        (GATES_SHOWN + 2, 3, ["… and 5 more, of which 2 do not open"]),
    ],
    ids=["as many as are shown", "one that opens is left out", "one that does not", "of both kinds"],
)
def test_what_is_left_out_is_never_said_to_open_where_it_does_not(shut, opened, more):
    """A reader must not take silence for a yes."""
    results = [result(model=f"m{n}") for n in range(opened)] + [
        result(status=GateStatus.FAILED, model=f"s{n}") for n in range(shut)
    ]
    assert gate_lines(pull_request_text(about(gates=tuple(results))))[1] == more


def test_how_to_merge_and_to_undo_is_never_cut_off():
    """However many models have however many metrics and gates of however long reasons, in whatever signs."""
    evil = "@" * 240
    models = tuple(Measured(f"m{n}", "2", "x", {f"{evil}{k}": 1.0 for k in range(60)}) for n in range(100))
    gates = tuple(result(reason="<" * 9000, status=GateStatus.FAILED, model=f"m{n}") for n in range(500))
    text = pull_request_text(about(measured=models, gates=gates, merging=("squash it",), undoing=("revert it",)))
    assert len(text) < 65_000 - 5_000
    assert text.endswith("### To merge\n\n- squash it\n\n### To undo\n\n- revert it\n")
    rows, more = gate_lines(text)
    assert more == [f"… and {500 - len(rows)} more, of which {500 - len(rows)} do not open"]


@pytest.mark.parametrize(
    ("models", "metrics", "left"),
    [(34, 10, 0), (34, 40, None), (1, 40, 0)],
    ids=["a fleet of ten metrics each", "a fleet of forty", "one model"],
)
def test_metrics_of_a_fleet_are_shown_while_they_fit(models, metrics, left):
    """Whole models, and of how many more there are some."""
    given = tuple(Measured(f"m{n}", "2", "Compared with 1.", {f"k{k:02}": 0.5 for k in range(metrics)}) for n in range(models))
    text = pull_request_text(about(measured=given))
    shown = text.count("### Metrics of m")
    assert text.count("| k00 |") == text.count(f"| k{metrics - 1:02} |") == shown
    if left == 0:
        assert (shown, "more model" in text) == (models, False)
    else:
        assert 1 < shown < models
        assert f"… and the metrics of {models - shown} more models: MLflow has them.\n" in text


def test_metrics_of_one_model_that_do_not_fit_are_one():
    """Singular, and no heading without a table."""
    text = pull_request_text(about(measured=(Measured("wine", "2", "x", {f"{'@' * 240}{k}": 1.0 for k in range(40)}),)))
    assert "… and the metrics of 1 more model: MLflow has them." in text
    assert "### Metrics" not in text


@pytest.mark.parametrize("count", [METRICS_SHOWN, METRICS_SHOWN + 1], ids=["as many as are shown", "one more"])
def test_metrics_of_one_model_are_counted(count):
    """Sorted by name, the first of them shown."""
    text = pull_request_text(about(measured=(Measured("wine", "2", "x", {f"k{n:02}": 1.0 for n in reversed(range(count))}),)))
    assert [line[:5] for line in text.splitlines() if line.startswith("| k")] == [f"| k{n:02}" for n in range(METRICS_SHOWN)]
    assert ("… and 1 more\n" in text) is (count > METRICS_SHOWN)


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
