"""What runs by the ledger and is gone from the files: a finding for each, and none for what was removed on purpose."""

from __future__ import annotations

import pytest
from mlrelease.history.fold import fold
from mlrelease.plan.undeclared import undeclared
from support.core import Story, absent, environment, service

ENV = "environments/production/environment.yaml"
RISK = "environments/production/services/risk.yaml"
CHURN = "environments/production/services/churn.yaml"
MODEL = "environments/production/models/A.yaml"


def both() -> Story:
    """Two services deployed."""
    story = Story()
    story.apply(environment(service(), service("churn", {"B": "1"})))
    return story


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((ENV, RISK, CHURN, MODEL), []),
        ((ENV, RISK, MODEL), [(CHURN, "churn", "churn")]),
        ((ENV,), [(CHURN, "churn", "churn"), (RISK, "risk", "risk")]),
        ((MODEL,), [(CHURN, "churn", "churn"), (RISK, "risk", "risk")]),
        ((), [("environments/production", "", "churn, risk")]),
        (("environments/staging/environment.yaml",), [("environments/production", "", "churn, risk")]),
        (("environments/README.md", "docs/production/x"), [("environments/production", "", "churn, risk")]),
        (("environments/production",), [("environments/production", "", "churn, risk")]),
        ((ENV, RISK, CHURN.replace("churn.yaml", "churn.yml")), [(CHURN, "churn", "churn")]),
    ],
    ids=[
        "all files are there",
        "a service's file is gone",
        "both are gone",
        "a model file names no service",
        "everything is gone",
        "the folder is gone, another is there",
        "only other files are left",
        "a link stands for the folder",
        "it has another ending",
    ],
)
def test_what_runs_must_have_a_file(paths, expected):
    """Deleting takes nothing away: each service, or the environment as a whole, is one finding that blocks just that."""
    found = undeclared(paths, {"production": both().history})
    assert [(f.path, f.service, f.found) for f in found] == expected
    assert {(f.rule, f.environment) for f in found} <= {("undeclared", "production")}


def test_the_way_back_is_a_command():
    """It names the path, and what to write."""
    (finding,) = undeclared((ENV, RISK), {"production": both().history})
    assert finding.fix == (f"git checkout $(git rev-list -1 HEAD -- {CHURN})~1 -- {CHURN}, then write state: absent into it")


def test_each_finding_says_what_is_wrong_and_what_should_be_there():
    """In full: of an environment whose folder is gone, and of one service."""
    history = both().history
    (whole,) = undeclared((), {"production": history})
    folder = "environments/production"
    assert (whole.message, whole.found, whole.expected, whole.fix) == (
        "the environment has no files any more, yet the ledger has 2 of its services running",
        "churn, risk",
        "the folder, with state: absent in its environment.yaml",
        f"git checkout $(git rev-list -1 HEAD -- {folder})~1 -- {folder}, then write state: absent into environment.yaml",
    )
    (one,) = undeclared((ENV, RISK), {"production": history})
    assert (one.message, one.found, one.expected) == (
        "the service has no file any more, yet the ledger has it running",
        "churn",
        "the file, with state: absent in it",
    )


@pytest.mark.parametrize("order", [("production", "staging"), ("staging", "production")])
def test_findings_are_sorted_whatever_the_order_of_ledgers(order):
    """By path: a person and a diff read them from top to bottom."""
    history = Story()
    history.apply(environment(*(service(name) for name in ("wine", "churn", "risk"))))
    found = undeclared((ENV, ENV.replace("production", "staging")), dict.fromkeys(order, history.history))
    assert [(f.environment, f.service) for f in found] == [
        (name, one) for name in ("production", "staging") for one in ("churn", "risk", "wine")
    ]


def test_a_recorded_removal_needs_no_file():
    """Removed by `state: absent`, the file may go, and so may the folder with the last one."""
    story = both()
    story.apply(environment(service(), absent("churn")))
    assert undeclared((ENV, RISK), {"production": story.history}) == ()
    story.apply(environment(absent(), absent("churn")))
    assert undeclared((), {"production": story.history}) == ()


def test_what_never_ran_is_not_missed():
    """A first deploy that failed leaves nothing behind; nor do a hold or an empty ledger."""
    story = Story()
    story.err(environment(service()))
    story.hold()
    assert undeclared((), {"production": story.history, "staging": fold("staging", ())}) == ()


def test_environments_are_looked_at_one_by_one():
    """A service of the same name elsewhere is another one."""
    history = both().history
    paths = (ENV, RISK, CHURN, ENV.replace("production", "staging"), RISK.replace("production", "staging"))
    found = undeclared(paths, {"production": history, "staging": history})
    assert [(f.environment, f.service) for f in found] == [("staging", "churn")]


def test_a_hostile_name_in_the_ledger_cannot_write_to_the_terminal():
    """The ledger is written by others."""
    story = Story()
    story.apply(environment(service("risk\x1b[2J")))
    (finding,) = undeclared((ENV,), {"production": story.history})
    assert "\x1b" not in finding.found + finding.fix + finding.message
