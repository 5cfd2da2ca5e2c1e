"""`approve --plan --run`: the approver is who pressed GitHub's button for that environment in that run, and nobody else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.commands.approve import ApproveOptions, approve
from mlrelease.commands.run_approval import ACTOR_APPROVES, UNREVIEWED
from mlrelease.delivery.passes import look
from mlrelease.errors import Error, UsageError
from mlrelease.model.event import Approved
from mlrelease.render.plan import plan_json
from support.github_server import running_github
from support.pair import Pair, approved, identity, staged
from support.world import git

NAME = "acme/models"


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


@pytest.fixture
def hub(tmp_path):
    """A GitHub with the repository, whose environment `production` has Grace and Linus as reviewers."""
    with running_github(tmp_path) as hub:
        hub.repository(NAME)
        hub.environment(NAME, "production", reviewers=("grace", "linus"))
        yield hub


@pytest.fixture
def plan(pair, tmp_path):
    """The plan that the reviewers read, as `plan --output json` saves it."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan_json(look(pair.site(), pair.desired())[0])))
    return str(file)


def say(pair, hub, plan, run, *, variables=None, **options):
    """The workflow's job: it runs as whoever pushed."""
    person = pair.person("pusher")
    known = {**person.variables, **hub.environment_variables(NAME), **(variables or {})}
    return approve(replace(person, variables=known), "production", ApproveOptions(**{"plan": plan, "run": str(run)} | options))


def newest(pair):
    return [e for e in pair.site().ledger.read("production").events if isinstance(e, Approved)][-1]


def count(pair):
    return sum(isinstance(e, Approved) for e in pair.site().ledger.read("production").events)


def test_the_reviewer_of_the_run_is_the_approver(pair, hub, plan):
    """And the job that wrote it down is the actor; the run can be looked up."""
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "grace", comment="go")
    report = say(pair, hub, plan, run)
    event = newest(pair)
    assert report.exit_code == 0
    assert (event.approver, event.actor) == ("grace", "pusher")
    assert event.run_url == f"{hub.html_url}/acme/models/actions/runs/{run}"
    assert report.data["approvals"]["wine"]["approver"] == "grace"
    assert pair.agent_looks().receipts["wine"].outcome.value == "succeeded"


def test_several_reviewers_are_all_named(pair, hub, plan):
    """Each once, in the order in which they said it."""
    run = hub.add_run(NAME)
    for user in ("linus", "grace", "linus"):
        hub.approve_run(NAME, run, "production", user)
    say(pair, hub, plan, run)
    assert newest(pair).approver == "linus, grace"


def test_the_name_of_an_environment_is_the_same_in_any_case(pair, hub, plan):
    """GitHub's names of environments do not distinguish it."""
    run = hub.add_run(NAME)
    hub.environment(NAME, "Production", reviewers=("grace",))
    hub.approve_run(NAME, run, "Production", "grace")
    assert say(pair, hub, plan, run).exit_code == 0


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ([], "it has reviewers, and the job did not wait for them"),
        ([("staging", "grace", "approved")], "it has reviewers, and the job did not wait for them"),
        ([("production", "linus", "rejected")], "linus rejected production in run"),
    ],
    ids=["nobody decided anything", "another environment was approved", "it was rejected"],
)
def test_without_a_yes_of_that_environment_nothing_is_approved(pair, hub, plan, decisions, why):
    """Exit 5, with what is missing; the ledger has nothing new."""
    run, before = hub.add_run(NAME), count(pair)
    for environment, user, state in decisions:
        hub.approve_run(NAME, run, environment, user, state=state)
    report = say(pair, hub, plan, run)
    assert report.exit_code == 5
    assert why in report.verdict
    assert report.verdict.startswith("production: nothing approved: ")
    assert count(pair) == before


def test_the_yes_of_another_run_does_not_count(pair, hub, plan):
    """It was for another plan."""
    yesterday, today = hub.add_run(NAME), hub.add_run(NAME)
    hub.approve_run(NAME, yesterday, "production", "grace")
    assert say(pair, hub, plan, today).exit_code == 5


def test_a_rejection_of_an_earlier_attempt_does_not_undo_the_yes(pair, hub, plan):
    """The run was started again, and approved then: only so does the job run."""
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "linus", state="rejected")
    hub.approve_run(NAME, run, "production", "grace")
    say(pair, hub, plan, run)
    assert newest(pair).approver == "grace"


@pytest.mark.parametrize("exists", [True, False], ids=["an environment without reviewers", "no environment at all"])
def test_where_github_has_no_gate_it_is_said_and_refused(pair, hub, plan, exists):
    """The plan of a private repository may have none: the job ran without anybody being asked."""
    hub.state(NAME).environments.pop("production")
    if exists:
        hub.environment(NAME, "production")
    before = count(pair)
    report = say(pair, hub, plan, hub.add_run(NAME))
    assert report.exit_code == 5
    assert "Free, Pro and Team plans" in report.verdict
    assert ("has no reviewers" if exists else "has no environment production") in report.verdict
    assert f"{UNREVIEWED}={ACTOR_APPROVES}" in report.next
    assert count(pair) == before


def test_the_settings_may_say_in_words_that_the_actor_approves(pair, hub, plan):
    """Then it is so, noted in the ledger and in the report."""
    hub.environment(NAME, "production")
    report = say(pair, hub, plan, hub.add_run(NAME), variables={UNREVIEWED: ACTOR_APPROVES})
    event = newest(pair)
    assert (report.exit_code, event.approver) == (0, "pusher")
    assert "has no reviewers: pusher stands for it" in event.reason
    assert any("stands for it" in note for note in report.notes)


@pytest.mark.parametrize("words", ["", "yes", "true", "ACTOR-APPROVES"])
def test_other_words_say_nothing(pair, hub, plan, words):
    """Only the exact ones open it."""
    hub.environment(NAME, "production")
    assert say(pair, hub, plan, hub.add_run(NAME), variables={UNREVIEWED: words}).exit_code == 5


def test_the_words_open_no_gate_that_is_there(pair, hub, plan):
    """Where reviewers are set up, they are asked, whatever a variable says."""
    report = say(pair, hub, plan, hub.add_run(NAME), variables={UNREVIEWED: ACTOR_APPROVES})
    assert report.exit_code == 5
    assert "it has reviewers" in report.verdict


def test_an_approver_who_wrote_the_change_is_noted(pair, hub, plan):
    """It is allowed, and it is seen: in the report and in the ledger."""
    git(pair.laptop, "push", "--quiet", str(hub.git_path(NAME)), "+refs/remotes/origin/main~1:refs/heads/main")
    git(pair.laptop, "push", "--quiet", str(hub.git_path(NAME)), "+refs/remotes/origin/main:refs/heads/bump")
    number = hub.open_pull(NAME, head="bump", user="grace")
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "grace")
    report = say(pair, hub, plan, run, reason="urgent")
    assert report.exit_code == 0
    note = f"grace approved a change of their own (#{number})"
    assert note in report.notes
    assert newest(pair).reason == f"urgent; {note}"


def test_an_approver_who_did_not_write_it_is_not_noted(pair, hub, plan):
    """Four eyes saw it."""
    git(pair.laptop, "push", "--quiet", str(hub.git_path(NAME)), "+refs/remotes/origin/main~1:refs/heads/main")
    git(pair.laptop, "push", "--quiet", str(hub.git_path(NAME)), "+refs/remotes/origin/main:refs/heads/bump")
    hub.open_pull(NAME, head="bump", user="ada")
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "grace")
    report = say(pair, hub, plan, run)
    assert (report.exit_code, report.notes, newest(pair).reason) == (0, [], "")


def test_who_wrote_it_is_a_note_and_never_in_the_way(pair, hub, plan):
    """GitHub does not say: the approval stands, and the report says that it was not looked at."""
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "grace")
    hub.fault("GET /repos/*/commits/*/pulls", 500, forever=True)
    report = say(pair, hub, plan, run)
    assert report.exit_code == 0
    assert "who wrote the change could not be asked" in report.notes[0]


def test_a_plan_that_moved_on_is_refused_before_anybody_is_asked(pair, hub, plan):
    """The reviewer read something else."""
    staged(pair, "3")
    pair.bump("wine", "3")
    run = hub.add_run(NAME)
    hub.approve_run(NAME, run, "production", "grace")
    report = say(pair, hub, plan, run)
    assert report.exit_code == 5
    assert "the plan moved on" in report.verdict
    assert hub.calls == []


def test_when_nothing_waits_nobody_is_asked(pair, hub, plan):
    """A job that runs again after the deploy ends well, whoever approved what."""
    approved(pair)
    pair.run()
    fresh = json.dumps(plan_json(look(pair.site(), pair.desired())[0]))
    with open(plan, "w", encoding="utf-8") as file:
        file.write(fresh)
    assert say(pair, hub, plan, hub.add_run(NAME)).exit_code == 0
    assert hub.calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": "seven"}, "'seven' is not the id of a workflow run"),
        ({"run": "7/../8"}, "is not the id of a workflow run"),
        ({"plan": ""}, "--run goes with the plan that its reviewers read"),
        ({"run_url": "https://example.org"}, "does not go with --run-url"),
    ],
    ids=["no number", "a path", "no plan", "two runs"],
)
def test_what_makes_no_sense_is_usage(pair, hub, plan, options, message):
    """Nothing is asked of anybody."""
    with pytest.raises(UsageError, match=message):
        say(pair, hub, **{"plan": plan, "run": "7"} | options)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda hub: hub.revoke(hub.actions_token), "GITHUB_TOKEN"),
        (lambda hub: hub.fault("GET /repos/*/actions/runs/*/approvals", 500, forever=True), "GitHub"),
        (lambda hub: None, "GitHub"),
    ],
    ids=["a token that was revoked", "GitHub answers 500", "a run that is not there"],
)
def test_when_github_cannot_tell_nothing_is_approved(pair, hub, plan, break_it, message):
    """Fail closed."""
    before = count(pair)
    break_it(hub)
    with pytest.raises(Error, match=message) as raised:
        say(pair, hub, plan, 424242)
    assert hub.actions_token not in str(raised.value)
    assert count(pair) == before
