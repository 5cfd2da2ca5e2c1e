"""`approve`: a yes to exactly what waits, recorded with its terms; no gate is opened by it, and no other plan approved."""

from __future__ import annotations

import json

import pytest
from mlrelease.commands.approve import ApproveOptions, approve
from mlrelease.commands.history import history
from mlrelease.commands.words import Named, hold, reject
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.passes import look
from mlrelease.errors import UsageError
from mlrelease.model.bundle import IMAGE, SETTINGS, model_key
from mlrelease.model.event import Approved
from mlrelease.model.when import iso
from mlrelease.render.plan import label, plan_report
from support.pair import Pair, approved, identity, staged

WINE = model_key("wine")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both; version 2 is proved in staging and pinned in production, where it waits."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p").create()
        pair.run("staging")
        approved(pair)
        pair.run()
        staged(pair)
        pair.bump("wine", "2")
    return pair


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


def say(pair, person="grace", **options):
    return approve(pair.person(person), "production", ApproveOptions(**options))


def approvals(pair):
    return [e for e in pair.site().ledger.read("production").events if isinstance(e, Approved)]


def test_it_records_exactly_the_change_that_waits(pair):
    """Components before and after by digest, who, until when, from which run, why."""
    report = say(pair, expires_s=3600.0, run_url="https://example.org/runs/7", reason="read the report")
    change = pair.change()
    event = approvals(pair)[-1]
    assert (report.exit_code, event.environment, event.service) == (0, "production", "wine")
    assert dict(event.before) == change.before.components()
    assert dict(event.after) == change.after.components()
    assert {key for key, _ in event.after} == {IMAGE, SETTINGS, WINE}
    assert (event.approver, event.actor, event.run_url, event.reason) == (
        "grace", "grace", "https://example.org/runs/7", "read the report",
    )  # fmt: skip
    assert (event.at, event.expires_at) == (pair.clock, pair.clock + 3600.0)


def test_the_verdict_names_the_move_and_the_way_back(pair):
    """What from, what to, and what a rollback goes back to."""
    before, after = (label(b) for b in (pair.change().before, pair.change().after))
    report = say(pair)
    assert report.verdict.startswith(f"production: approved wine {before} → {after}")
    assert f"a rollback goes back to {before}" in report.verdict
    assert report.next == "mlrelease deploy production"
    (row,) = report.rows
    assert (row[0], row[1], row[5], row[6]) == ("wine", "approved", before, f"until {iso(pair.clock + 7 * 86400)}")


def test_the_agents_next_look_acts_on_it(pair):
    """Nobody need ask for a pass: before it waits and writes nothing, after it deploys."""
    height = pair.history().height
    waiting = pair.agent_looks()
    assert (exit_code(waiting), waiting.finished) == (5, None)
    assert pair.history().height == height
    assert pair.live() == {"wine": "1"}
    say(pair)
    assert pair.agent_looks().receipts["wine"].outcome.value == "succeeded"
    assert pair.live() == {"wine": "2"}


def test_one_that_expired_is_none(pair):
    """Too late is asked again."""
    say(pair, expires_s=30.0)
    late = pair.agent_looks()
    assert late.plan.changes[0].blocked_by == "approval"
    assert "expired at" in late.plan.changes[0].blocked
    assert pair.live() == {"wine": "1"}
    assert say(pair).exit_code == 0
    assert pair.agent_looks().receipts["wine"].outcome.value == "succeeded"


def test_one_for_another_version_does_not_fit(pair):
    """Git moved on between yes and pass."""
    say(pair)
    staged(pair, "3")
    pair.bump("wine", "3")
    waiting = pair.agent_looks()
    assert waiting.plan.changes[0].blocked_by == "approval"
    assert "is for another change" in waiting.plan.changes[0].blocked
    assert pair.live() == {"wine": "1"}


def test_a_revert_is_applied_at_once_and_the_way_forward_needs_a_new_yes(pair):
    """Going back waits for nobody; going forward again is rejected, and once lifted, unapproved."""
    commit = pair.desired().revision
    say(pair)
    pair.run()
    pair.revert(commit)
    back = pair.agent_looks()
    assert (back.receipts["wine"].change.value, back.receipts["wine"].outcome.value) == ("rollback", "succeeded")
    pair.bump("wine", "2")
    again = say(pair)
    assert (again.exit_code, pair.change().blocked_by) == (5, "rejected")
    from mlrelease.commands.words import unreject

    unreject(pair.person(), "production", Named(model="wine", version="2"), reason="it was the data")
    assert pair.change().blocked_by == "approval"


@pytest.mark.parametrize(
    ("prepare", "word", "why"),
    [
        pytest.param(approved, "given", "grace approved it", id="it was approved before"),
        pytest.param(lambda p: (approved(p), p.run()), "not needed", "in sync", id="it is done"),
        pytest.param(
            lambda p: (approved(p), p.run(), p.revert("HEAD")),
            "not needed",
            "a rollback waits for no approval",
            id="it goes back",
        ),
    ],
)
def test_nothing_to_approve_says_why_and_is_no_error(pair, prepare, word, why):
    """Exit 0, no event, and the reason of each service."""
    prepare(pair)
    before = len(approvals(pair))
    report = say(pair)
    assert (report.exit_code, len(approvals(pair))) == (0, before)
    assert report.verdict.startswith("production: nothing to approve: wine: ")
    assert why in report.verdict
    assert report.data == {"environment": "production", "approvals": {}, "blocked": {}}


def test_an_environment_that_asks_for_none_says_so(pair):
    """Staging is free."""
    report = approve(pair.person(), "staging", ApproveOptions())
    assert (report.exit_code, report.verdict) == (
        0,
        "staging: nothing to approve: no approval is asked for here (approval: required is not set)",
    )


@pytest.mark.parametrize(
    ("prepare", "why", "code"),
    [
        pytest.param(
            lambda p: reject(p.person("ada"), "production", Named(model="wine", version="2"), reason="biased"),
            "rejected by ada: biased",
            5,
            id="a rejection",
        ),
        pytest.param(
            lambda p: hold(p.person("ada"), "production", service="wine", reason="freeze", until=0.0),
            "held by ada: freeze",
            5,
            id="a hold",
        ),
        pytest.param(
            lambda p: p.bump("wine", "3"),
            "wine 3 was never verified in staging under the image that it would run with here",
            5,
            id="no proof in staging",
        ),
    ],
)
def test_what_something_else_blocks_is_not_approved(pair, prepare, why, code):
    """It says what stands in the way, and records nothing: an approval opens nothing but itself."""
    prepare(pair)
    before = len(approvals(pair))
    report = say(pair)
    assert (report.exit_code, len(approvals(pair))) == (code, before)
    assert report.verdict == "production: nothing approved; 1 blocked"
    assert report.data["blocked"] == {"wine": why}
    assert report.next != ""


def test_a_gate_that_is_shut_is_not_approved(pair):
    """Its artifacts were overwritten after they were proved: the gate `digest` says so, and no yes helps."""
    pair.registry.add("wine", "2", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})
    before = len(approvals(pair))
    report = say(pair)
    assert (report.exit_code, len(approvals(pair))) == (5, before)
    assert report.data["blocked"] == {"wine": "an approval opens no gate: digest failed"}
    assert any("gate digest failed for model:wine" in line for line in report.details)


def test_a_gate_that_cannot_tell_is_not_approved(pair):
    """MLflow does not answer: that is exit 1, not a no."""
    pair.registry.down = True
    report = say(pair)
    assert (report.exit_code, report.data["approvals"]) == (1, {})


def plan_file(pair, folder):
    """The plan as `plan --output json` writes it."""
    report = plan_report(look(pair.site(), pair.desired(), observe=False)[0], next_command="")
    path = folder / "plan.json"
    path.write_text(json.dumps(report.to_json()))
    return str(path)


class TestPlan:
    """`--plan FILE`: the plan that was read is the one that is approved."""

    def test_the_same_plan_is_approved(self, pair, tmp_path):
        """Nothing moved between reading and saying yes."""
        assert say(pair, plan=plan_file(pair, tmp_path)).exit_code == 0
        assert approvals(pair)[-1].service == "wine"

    def test_one_that_moved_on_is_refused_by_name(self, pair, tmp_path):
        """Another version came in between: what was and what is are named, nothing is recorded."""
        path, before = plan_file(pair, tmp_path), len(approvals(pair))
        was = pair.change()
        staged(pair, "3")
        pair.bump("wine", "3")
        report = say(pair, plan=path)
        now = pair.change()
        assert (report.exit_code, len(approvals(pair))) == (5, before)
        assert report.verdict == f"production: nothing approved: the plan moved on since {path} was written"
        assert report.notes == (
            f"wine: was {label(was.before)} → {label(was.after)}, is {label(now.before)} → {label(now.after)}",
        )

    def test_the_same_labels_with_other_bytes_are_another_plan(self, pair, tmp_path):
        """Versions are for people; digests decide."""
        path = plan_file(pair, tmp_path)
        data = json.loads((tmp_path / "plan.json").read_text())
        data["changes"]["wine"]["after"]["models"][0]["digest"] = f"sha256:{'0' * 64}"
        (tmp_path / "plan.json").write_text(json.dumps(data))
        assert say(pair, plan=path).exit_code == 5

    def test_a_service_that_was_not_in_it_is_named(self, pair, tmp_path):
        """A plan of nothing approves nothing."""
        (tmp_path / "plan.json").write_text('{"environment": "production", "changes": {}}')
        report = say(pair, plan=str(tmp_path / "plan.json"))
        assert report.exit_code == 5
        assert report.notes[0].startswith("wine: not in the plan that was read, is wine 1")

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            pytest.param("", "is not a plan", id="empty"),
            pytest.param("[]", "is not a plan", id="a list"),
            pytest.param('{"changes": {"wine": {}}}', "is not a plan", id="changes without bundles"),
            pytest.param('{"changes": {"wine": {"before": 7, "after": null}}}', "is not a plan", id="a bundle that is none"),
            pytest.param("[" * 100_000, "is not a plan", id="nested without end"),
            pytest.param('{"environment": "staging", "changes": {}}', "is a plan of another environment", id="of another"),
            pytest.param('{"changes": {}}', "is a plan of another environment", id="of none"),
        ],
    )
    def test_a_file_that_is_no_plan_is_a_slip_of_the_pen(self, pair, tmp_path, content, why):
        """Exit 2, and how to write one."""
        path = tmp_path / "plan.json"
        path.write_text(content)
        with pytest.raises(UsageError, match=why) as raised:
            say(pair, plan=str(path))
        assert raised.value.hint == "mlrelease --output json plan production > FILE"

    def test_a_file_that_is_not_there_is_named(self, pair, tmp_path):
        """Nothing is approved for want of it."""
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            say(pair, plan=str(tmp_path / "none.json"))


class TestSeveralServices:
    """Each gets its line; the worst exit code wins."""

    @pytest.fixture
    def two(self, tmp_path):
        """Two services that wait for their first deploy."""
        pair = Pair(tmp_path / "two", services=("ham", "wine")).create()
        pair.run("staging")
        return pair

    def test_all_that_wait_are_approved_together(self, two):
        """One append, one event each."""
        report = say(two)
        assert [e.service for e in approvals(two)] == ["ham", "wine"]
        assert [e.before for e in approvals(two)] == [(), ()]
        assert report.verdict.count("there is nothing to go back to") == 2

    def test_only_the_named_ones_are(self, two):
        """The other goes on waiting."""
        report = say(two, services=("wine",))
        assert [e.service for e in approvals(two)] == ["wine"]
        assert [row[0] for row in report.rows] == ["wine"]
        result = two.agent_looks()
        assert list(result.receipts) == ["wine"]
        assert exit_code(result) == 5

    def test_one_that_is_blocked_does_not_stop_the_other(self, two):
        """The one that waits is approved, the one that is held is named."""
        hold(two.person(), "production", service="ham", reason="freeze", until=0.0)
        report = say(two)
        assert [e.service for e in approvals(two)] == ["wine"]
        assert (report.exit_code, report.data["blocked"]) == (5, {"ham": "held by grace: freeze"})

    def test_an_unknown_service_is_named(self, two):
        """With those that there are."""
        with pytest.raises(UsageError, match="production has no service 'beer'") as raised:
            say(two, services=("beer",))
        assert raised.value.hint == "services there: ham, wine"


def test_history_tells_who_approved_what_until_when(pair):
    """In the same list as the deploys."""
    say(pair, reason="read the report")
    report = history(pair.person(), "production", service="wine", limit=1)
    (row,) = report.rows
    assert (row[1], row[2], row[4], row[6]) == ("wine", "approved", WINE, "grace")
    assert row[8] == f"until {iso(pair.clock + 7 * 86400)}: read the report"


def test_a_git_host_that_does_not_answer_is_said(pair):
    """The yes is kept on this machine; nobody else sees it yet."""
    (pair.root / "origin.git").rename(pair.root / "gone.git")
    report = say(pair)
    assert report.exit_code == 0
    assert any("the last fetched tip" in note for note in report.notes)
    assert any("waits on this machine" in note for note in report.notes)
