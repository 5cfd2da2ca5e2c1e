"""The KPI report, whole and word for word: `tests/golden/kpi/`; `--update-golden` rewrites it, the diff is the review."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from mlrelease.commands.output import emit
from mlrelease.history.kpi import kpis
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.render.kpi import HEADERS, duration, kpi_report
from mlrelease.render.report import markdown
from support.core import ENVIRONMENT, START
from support.receipts import DAY, HOUR, NOWHERE, Branch, Ledger, of

GOLDEN = Path(__file__).parents[2] / "golden" / "kpi"
SHUT = {"gate": "metric", "component": "model:A", "status": "failed", "reason": "x", "evidence": {}, "skip_reason": None}


def month():
    """Two services over four weeks, with everything that may happen."""
    ledger, branch = Ledger(), Branch()

    def pin(one, before):
        return branch.pin(one, ledger.now - before, authored=ledger.now - 2 * before)

    for name in ("risk", "churn"):
        ledger.deploy(of("1", service=name), service=name, revision=pin(of("1", service=name), HOUR))
    ledger.wait(3 * DAY)
    revision = pin(of("2"), 4 * HOUR)
    ledger.approve(of("1"), of("2"))
    ledger.deploy(of("2"), revision=revision)
    ledger.wait(DAY)
    ledger.deploy(of("1"), kind=ChangeKind.ROLLBACK, revision=pin(of("1"), 120.0))
    ledger.wait(2 * DAY)
    ledger.deploy(of("3"), Outcome.ROLLED_BACK, revision=pin(of("3"), HOUR))
    ledger.deploy(of("4"), Outcome.BLOCKED, taken=(), gates=[SHUT], revision=pin(of("4"), HOUR))
    ledger.deploy(of("5"), revision=pin(of("5"), 2 * HOUR))
    ledger.deploy(of("5"), kind=ChangeKind.REPAIR)
    ledger.wait(9 * DAY)
    ledger.deploy(of("9", service="churn"), Outcome.FAILED, service="churn", revision="elsewhere")
    ledger.deploy(of("8", service="churn"), service="churn", revision="elsewhere")
    ledger.deploy(of("8", service="churn"), kind=ChangeKind.SETTINGS, service="churn")
    ledger.wait(13 * DAY)
    return ledger, branch.landings


def reported(*, since=0.0, service=""):
    ledger, landings = month()
    return kpi_report(kpis(ledger.events, ENVIRONMENT, landings, since=since, until=ledger.now), service=service)


@pytest.mark.parametrize(
    ("case", "asked"),
    [
        ("month.txt", {}),
        ("month.json", {}),
        ("month.md", {}),
        ("one-service.txt", {"service": "risk"}),
        ("newest-week.txt", {"since": START + 22 * DAY}),
    ],
)
def test_the_report_reads_as_it_is_kept(case, asked, capsys, update_golden):
    """As a table, as JSON, and as Markdown in a job's summary."""
    report = reported(**asked)
    if case.endswith(".md"):
        text = markdown(report)
    else:
        assert emit(report, output="json" if case.endswith(".json") else "table") == 0
        text = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"
    path = GOLDEN / case
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_no_golden_file_is_left_over():
    """Each is a case above."""
    assert {path.name for path in GOLDEN.iterdir()} == {
        "month.txt",
        "month.json",
        "month.md",
        "one-service.txt",
        "newest-week.txt",
    }


def test_of_nothing_every_figure_is_a_dash():
    """And JSON has null, not zero."""
    report = kpi_report(kpis([], ENVIRONMENT, NOWHERE, since=START, until=START + DAY))
    assert [dict(zip(HEADERS, row, strict=True)) for row in report.rows] == [
        {
            "service": "all",
            "deployments": "0",
            "lead time": "–",
            "change failures": "–",
            "time to restore": "–",
            "rollbacks": "–",
            "gate blocks": "0",
            "approval wait": "–",
            "success": "–",
        }
    ]
    assert report.verdict.endswith(", nothing was recorded yet")
    data = json.loads(json.dumps(report.to_json()))
    assert data["kpis"]["change_failures"] == {"part": 0, "of": 0, "rate": None}
    assert data["kpis"]["time_to_restore"] == {"n": 0, "median": None, "p90": None, "longest": None}


def test_the_keys_of_json_are_the_same_for_all_and_for_each_service():
    """A reader needs one form."""
    data = reported().data
    assert {frozenset(one) for one in data["services"].values()} == {frozenset(data["kpis"])}
    assert set(data["services"]) == {"risk", "churn"}


def test_what_is_still_open_is_said():
    """A failure that nothing was proved after."""
    ledger = Ledger()
    ledger.deploy(of("1"))
    ledger.deploy(of("2"), Outcome.FAILED)
    report = kpi_report(kpis(ledger.events, ENVIRONMENT, NOWHERE, since=0.0, until=ledger.now + 1))
    assert dict(zip(HEADERS, report.rows[0], strict=True))["time to restore"] == "–, 1 still open"
    assert any("deployments without a lead time: 1" in note for note in report.notes)


def test_one_service_alone_has_one_row():
    """All would say the same."""
    ledger = Ledger()
    ledger.deploy(of("1"))
    report = kpi_report(kpis(ledger.events, ENVIRONMENT, NOWHERE, since=0.0, until=ledger.now + 1))
    assert [row[0] for row in report.rows] == ["risk"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        ("0", "0.00 s"),
        ("4.256", "4.26 s"),
        ("59.99", "59.99 s"),
        ("60", "1.0 min"),
        ("3599", "60.0 min"),
        ("3600", "1.0 h"),
        ("86399", "24.0 h"),
        ("86400", "1.0 d"),
        ("8640000", "100.0 d"),
    ],
)
def test_a_duration_is_read_at_a_glance(seconds, text):
    """In the unit that fits it."""
    assert duration(None if seconds is None else Decimal(seconds)) == text
