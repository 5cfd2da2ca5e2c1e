"""The lines of `history`: one of each kind of event, in order, of a service or a time, and what is said beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from mlrelease.commands.history import _rows, history, ledger_notes
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.errors import UsageError
from mlrelease.forge.git import Git
from mlrelease.ledger.ledger import LedgerView
from mlrelease.model.bundle import model_key
from mlrelease.model.change import Outcome
from mlrelease.model.event import Held, UnknownEvent
from support.core import START, bundle, model
from support.example import EXAMPLE
from support.newcomer import text
from support.pair import identity
from support.receipts import Ledger as Told
from support.repositories import bare_with_clones, git, ledger

pytestmark = pytest.mark.xdist_group("history-lines")
ONE, TWO = bundle("risk", "1", {"A": "7"}), bundle("risk", "1", {"A": "8"})
EIGHT = (model_key("A"), str(model("A", "8").digest))
END = START + 10_000


@dataclass(frozen=True, slots=True)
class Then(Workspace):
    """A workspace whose clock stands after all of it."""

    @property
    def now(self) -> Callable[[], float]:
        return lambda: END


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Every kind of event, a minute apart, of two services; one pass never ended."""
    with identity():
        folder = tmp_path_factory.mktemp("lines")
        _, clone = bare_with_clones(folder, "clone")
        for path, data in EXAMPLE.items():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).write_bytes(data)
        told = Told(revision="abcdef0123456789")
        told.deploy(ONE)
        told.wait(60).hold(pinned_to="0123456789abcdef")
        told.wait(60).unhold()
        told.wait(60).approve(ONE, TWO)
        told.wait(60).deploy(TWO, Outcome.ROLLED_BACK)
        told.wait(60).reject(EIGHT)
        told.wait(60).unreject(EIGHT)
        told.wait(60).tell(Held, reason="quarter's end", service="", until=told.now + 60)
        told.wait(60).deploy(bundle("fraud", "2", {"B": "1"}), service="fraud", taken=())
        told.wait(60).start("fraud", "risk")
        for number, event in enumerate(told.events):
            assert event.id == f"e{number + 1}"
        ledger(clone, now=END).append(told.events)
        return Then(Git(clone), Tracked("origin", "main"), "ada", "run", {})


def lines(here, service="", limit=100, **span):
    return history(here, "production", service=service, limit=limit, **span)


def test_every_kind_of_event_has_its_line(here):
    """Newest first; who is named without the address, a component by its name."""
    rows = [tuple(row) for row in lines(here).rows]
    assert [row[1:8] for row in rows] == [
        ("fraud", "unfinished", "", "", "", "ada", "abcdef012"),
        ("risk", "unfinished", "", "", "", "ada", "abcdef012"),
        ("fraud", "create succeeded", "nothing", "B 1 (7c75891)", "", "ada", "abcdef012"),
        ("", "held", "", "", "", "ada", ""),
        ("risk", "unrejected", "", "model:A", "", "ada", ""),
        ("risk", "rejected", "", "model:A", "", "ada", ""),
        ("risk", "update rolled_back", "A 7 (bc82a37)", "A 8 (1bd96bb)", "15.75", "ada", "abcdef012"),
        ("risk", "approved", "", "model:A", "", "grace", ""),
        ("risk", "unheld", "", "", "", "ada", ""),
        ("risk", "held", "", "", "", "ada", "012345678"),
        ("risk", "create succeeded", "nothing", "A 7 (bc82a37)", "18.50", "ada", "abcdef012"),
    ]
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)
    assert rows[10][0] == "2023-11-14T22:13:38Z"
    assert [row[8] for row in rows[3:6]] == ["quarter's end", "it was the data", "biased"]
    assert rows[7][8].startswith("until 2023-11-15T22:16:38")


def test_a_start_whose_end_is_told_has_no_line(here):
    """It is the receipt that counts; one that never ended is named with who was at work, a line for each service."""
    unfinished = [row for row in lines(here).rows if row[2] == "unfinished"]
    assert [row[1] for row in unfinished] == ["fraud", "risk"]
    assert all(row[8].startswith("by ") and ", until 20" in row[8] for row in unfinished)


@pytest.mark.parametrize(("service", "count"), [("risk", 8), ("fraud", 2), ("rum", 0), ("ris", 0)])
def test_one_service_can_be_asked_for(here, service, count):
    """By its whole name."""
    found = lines(here, service)
    assert [row[1] for row in found.rows] == [service] * count
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("limit", "shown", "note"),
    [(1, 1, "10 older lines: --limit 11"), (10, 10, "1 older lines: --limit 11"), (11, 11, ""), (12, 11, "")],
)
def test_the_newest_lines_are_shown_and_the_rest_counted(here, limit, shown, note):
    """With the option that shows them all."""
    found = lines(here, limit=limit)
    assert found.rows == lines(here).rows[:shown]
    assert list(found.notes) == ([note] if note else [])


def test_a_time_begins_with_its_first_moment_and_ends_before_its_last(here):
    """So that two spans beside each other have every line once."""
    holds = [row for row in lines(here, "risk").rows if row[2] in ("held", "unheld")]
    first, last = holds[1][0], holds[0][0]
    assert (first, last) == ("2023-11-14T22:14:38Z", "2023-11-14T22:15:38Z")
    exact = ("2023-11-14T22:14:38.500Z", "2023-11-14T22:15:38.500Z")
    within = lines(here, since=exact[0], until=exact[1]).rows
    assert [row[2] for row in within] == ["held"]
    before, after = lines(here, until=exact[0]).rows, lines(here, since=exact[1]).rows
    assert [*after, *within, *before] == list(lines(here).rows)


def test_json_has_every_event_and_the_table_what_was_asked_for(here):
    """A program filters by itself; ids are in the order of the ledger."""
    found = lines(here, "fraud", limit=1, since="2h")
    ids = [event["id"] for event in found.data["events"]]
    assert ids == [f"e{number + 1}" for number in range(13)]
    assert (found.data["environment"], found.data["broken"], found.data["online"]) == ("production", "", True)


def test_an_environment_without_events_is_one_of_the_files_or_a_slip(here):
    """An empty history is no answer to a name that is none."""
    with pytest.raises(UsageError, match="there is no environment 'nowhere'"):
        history(here, "nowhere", service="", limit=5)


def test_an_event_of_a_newer_version_is_a_line_too():
    """What it says is not known; that it happened is."""
    event = UnknownEvent("frozen", "e99", "production", START, "ada <a@b>", {"x": 1})
    assert _rows(event, set()) == [("2023-11-14T22:13:20Z", "", "frozen", "", "", "", "ada", "", "written by a newer version")]


@pytest.mark.parametrize(
    ("view", "notes"),
    [
        ({}, []),
        ({"online": False}, ["the git host did not answer: this is the last fetched ledger"]),
        ({"spooled": 2}, ["2 events wait on this host for the git host"]),
        ({"broken": "e2 is missing"}, ["THE CHAIN IS BROKEN: e2 is missing"]),
        (
            {"online": False, "spooled": 1, "broken": "x"},
            [
                "the git host did not answer: this is the last fetched ledger",
                "1 events wait on this host for the git host",
                "THE CHAIN IS BROKEN: x",
            ],
        ),
    ],
    ids=["all is well", "not asked", "some wait", "broken", "all of it"],
)
def test_what_is_said_of_a_ledger(view, notes):
    """Nothing of one that was asked, is all there, and whole."""
    assert ledger_notes(LedgerView((), 0, **view)) == notes


def test_a_broken_chain_is_the_first_thing_said_and_fails(here, tmp_path, capsys):
    """Exit 1; what can be read is shown all the same."""
    clone = here.git.root()
    git(tmp_path, "clone", "--quiet", "--branch", "mlrelease/ledger", str(clone.parent / "remote.git"), "tamper")
    events = sorted((tmp_path / "tamper/production/events").iterdir())
    events[3].write_text(events[3].read_text().replace("ada", "eve"))
    git(tmp_path / "tamper", "commit", "--quiet", "-am", "tamper")
    git(tmp_path / "tamper", "push", "--quiet", "origin", "HEAD")
    git(tmp_path, "clone", "--quiet", str(clone.parent / "remote.git"), "fresh")
    fresh = Then(Git(tmp_path / "fresh"), Tracked("origin", "main"), "ada", "run", {})
    found = lines(fresh, limit=1)
    git(tmp_path / "tamper", "push", "--quiet", "--force", "origin", "HEAD~1:mlrelease/ledger")
    assert found.exit_code == 1
    assert found.verdict == "production: 13 events, chain BROKEN"
    assert found.notes[0].startswith("THE CHAIN IS BROKEN: ")
    assert "exit 1" in text(found, capsys)
