"""Figures in words: one is one, nothing is a dash, and every line below the table stands only where it says something."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mlrelease.history.figures import Share, Spread, spread
from mlrelease.history.kpi import Failure, KpiReport, Kpis
from mlrelease.model.change import Outcome
from mlrelease.render.kpi import HEADERS, kpi_report, kpis_json
from support.core import START

NONE = Spread(0)


def figures(**more):
    """Of nothing at all, but for what is given."""
    known = {
        "deployments": 0,
        "per_week": None,
        "authored": NONE,
        "landed": NONE,
        "unplaced": 0,
        "failures": Share(0, 0),
        "failed_by": {},
        "restore": NONE,
        "unrestored": 0,
        "rollbacks": NONE,
        "rollbacks_landed": NONE,
        "blocks": {},
        "approvals": 0,
        "approval_wait": NONE,
        "success": Share(0, 0),
        "outcomes": {},
        "repairs": 0,
        "settings": 0,
        "removals": 0,
    }
    return Kpis(**(known | more))


def report(total=None, *, since=START, until=START + 60, services=None, **more):
    total = total or figures()
    return kpi_report(KpiReport("production", since, until, total, {"risk": total} if services is None else services), **more)


def column(name, **more):
    """One cell of one service."""
    return dict(zip(HEADERS, report(figures(**more)).rows[0], strict=True))[name]


def of(*seconds):
    return spread(Decimal(str(second)) for second in seconds)


@pytest.mark.parametrize(
    ("name", "more", "cell"),
    [
        ("deployments", {"deployments": 3}, "3"),
        ("deployments", {"deployments": 3, "per_week": Decimal("0.75")}, "3, 0.75 a week"),
        ("deployments", {"per_week": Decimal(0)}, "0, 0 a week"),
        ("lead time", {"landed": of(90)}, "1.5 min (n 1)"),
        ("lead time", {"landed": of(90, 90, 7200)}, "1.5 min, p90 2.0 h (n 3)"),
        ("change failures", {"failures": Share(0, 4)}, "0 % (0 of 4)"),
        ("change failures", {"failures": Share(1, 3)}, "33 % (1 of 3)"),
        ("change failures", {"failures": Share(3, 3)}, "100 % (3 of 3)"),
        ("time to restore", {"restore": of(5), "unrestored": 2}, "5.00 s (n 1), 2 still open"),
        ("time to restore", {"unrestored": 1}, "–, 1 still open"),
        ("time to restore", {"restore": of(5, 7)}, "6.00 s, longest 7.00 s (n 2)"),
        ("rollbacks", {"rollbacks": of(1, 2, 9)}, "2.00 s, slowest 9.00 s (n 3)"),
        ("gate blocks", {"blocks": {"metric": 2, "scan": 1}}, "3"),
        ("approval wait", {"approval_wait": of(3600, 3600)}, "1.0 h, p90 1.0 h (n 2)"),
        ("success", {"success": Share(2, 4)}, "50 % (2 of 4)"),
    ],
    ids=[
        "in a window too short for a rate",
        "with a rate",
        "none in weeks",
        "one has no spread",
        "several have their p90",
        "no failure is no dash",
        "a third",
        "every one",
        "some are still open",
        "all are still open",
        "the longest",
        "the slowest",
        "of all gates",
        "of approvals",
        "half",
    ],
)
def test_every_cell_of_a_row(name, more, cell):
    """The figure, one more where there are several, and of how many."""
    assert column(name, **more) == cell


def test_below_the_table_stands_what_is_behind_it():
    """Each line in its place, names in their order."""
    full = figures(
        authored=of(3600),
        failed_by={Failure(kind): 1 for kind in sorted(f.value for f in Failure)},
        rollbacks_landed=of(30, 40),
        blocks={"scan": 1, "metric": 2},
        repairs=1,
        removals=2,
        steps={"start": of(3, 3), "drain": of(2)},
    )
    kinds = ", ".join(f"{kind.value.replace('_', ' ')} 1" for kind in sorted(Failure))
    assert report(full).details == [
        "lead time from writing: 1.0 h (n 1)",
        f"failed changes: {kinds}",
        "rollbacks from their commit: 35.00 s, slowest 40.00 s (n 2)",
        "gates that shut: metric 2, scan 1",
        "beside: removals 2, repairs 1",
        "step start: 3.00 s, p90 3.00 s (n 2)",
        "step drain: 2.00 s (n 1)",
    ]
    assert report().details == []
    assert report(figures(settings=1)).details == ["beside: new settings 1"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "production: deployments 0, failed changes 0 of 0, MINUTE"),
        ({"until": START}, "production: deployments 0, failed changes 0 of 0, nothing was recorded yet"),
        ({"service": "risk"}, "production/risk: deployments 0, failed changes 0 of 0, MINUTE"),
    ],
    ids=["a window", "no time at all", "one service"],
)  # fmt: skip
def test_the_verdict_names_place_and_window(more, said):
    """Moments to the second."""
    assert report(**more).verdict == said.replace("MINUTE", "2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z")


def test_of_several_services_all_come_first_and_one_alone_is_all():
    """The total is no row of its own where it would repeat the only one."""
    one, two = figures(deployments=1), figures(deployments=2)
    both = report(figures(deployments=3), services={"a": one, "b": two})
    assert [row[:2] for row in both.rows] == [("all", "3"), ("a", "1"), ("b", "2")]
    alone = report(figures(deployments=3), services={"a": one, "b": two}, service="b")
    assert [row[:2] for row in alone.rows] == [("b", "2")]
    assert alone.data["kpis"] == kpis_json(two)
    assert list(alone.data["services"]) == ["b"]
    assert [row[0] for row in report(services={}).rows] == ["all"]


def test_notes_and_the_next_command():
    """What has no lead time is said first, ours last; the command names the service."""
    found = report(figures(unplaced=2), notes=("read offline",), exit_code=3)
    assert found.notes == (
        "deployments without a lead time: 2; their commits are not on the tracked branch here",
        "read offline",
        "what each figure means: docs/history.md",
    )
    assert (found.next, found.exit_code) == ("mlrelease history production", 3)
    assert report().notes == ("what each figure means: docs/history.md",)
    assert report(service="risk").next == "mlrelease history production --service risk"


def test_figures_as_json_are_numbers():
    """Seconds and rates as floats, counts as integers, names in their order; null where there is nothing."""
    full = kpis_json(
        figures(
            deployments=3,
            per_week=Decimal("0.75"),
            landed=of(1, 2, 4),
            failures=Share(1, 3),
            outcomes={Outcome.SUCCEEDED: 2, Outcome.FAILED: 1},
            blocks={"scan": 1, "metric": 2},
            steps={"start": of(3)},
        )
    )
    empty = kpis_json(figures())
    assert list(full) == list(empty)
    assert full["deployments_per_week"] == 0.75
    assert full["lead_time_landed"] == {"n": 3, "median": 2.0, "p90": 4.0, "longest": 4.0}
    assert full["change_failures"] == {"part": 1, "of": 3, "rate": 0.3333}
    assert list(full["outcomes"].items()) == [("failed", 1), ("succeeded", 2)]
    assert list(full["gate_blocks"].items()) == [("metric", 2), ("scan", 1)]
    assert full["steps"] == {"start": {"n": 1, "median": 3.0, "p90": 3.0, "longest": 3.0}}
    assert {key: value for key, value in empty.items() if isinstance(value, int | type(None))} == {
        "deployments": 0,
        "deployments_per_week": None,
        "without_lead_time": 0,
        "unrestored": 0,
        "approvals": 0,
        "repairs": 0,
        "settings": 0,
        "removals": 0,
    }
