"""`doctor` on GitHub: every check in every state it can have, against a GitHub that answers as GitHub does."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from mlrelease.commands.doctor import verb
from mlrelease.commands.doctor.checks import WHY_GITHUB, State
from mlrelease.commands.doctor.github import asking
from support.doctor_hub import NAME, NOBODY_SEES, found
from support.faulty_server import closed_port
from support.github_server import Fault, html, rate_limited, reset, secondary, truncated
from support.newcomer import as_json, golden, text

pytestmark = pytest.mark.xdist_group("doctor-github")


# -- the whole, as a person sees it ------------------------------------------------------------------------------------


def test_everything_right(ward, capsys, update_golden):
    """Every line is ok; the golden text is what the documentation leads to."""
    golden("doctor/github-everything-right.txt", text(ward.report(), capsys), update=update_golden)


def test_nothing_right(ward, capsys, update_golden):
    """A fresh repository: each line says why it matters and what to do."""
    state = ward.state
    state.settings |= {"allow_merge_commit": True, "delete_branch_on_merge": False, "default_branch": "master"}
    state.rulesets.clear()
    state.environments.clear()
    state.workflows.clear()
    state.secrets += ["DEPLOY_KEY", "MLFLOW_TRACKING_TOKEN"]
    state.actions_permissions |= {"sha_pinning_required": False}
    state.workflow_permissions |= {"default_workflow_permissions": "write"}
    ward.push(".github/CODEOWNERS", None)
    golden("doctor/github-nothing-right.txt", text(ward.report(), capsys), update=update_golden)


def test_no_token(ward, capsys, update_golden):
    """One line says what to set, and nobody is asked."""
    told = text(ward.report(MLRELEASE_GITHUB_TOKEN=""), capsys)
    golden("doctor/github-no-token.txt", told, update=update_golden)
    assert ward.hub.calls == []


def test_too_few_rights(ward, capsys, update_golden):
    """A workflow's own rights: what it may not see is unknown, with the permission that it takes; nothing is guessed."""
    told = text(ward.report(MLRELEASE_GITHUB_TOKEN=ward.fine(**NOBODY_SEES)), capsys)
    golden("doctor/github-too-few-rights.txt", told, update=update_golden)


def test_a_private_repository_on_a_plan_without_gates(ward, capsys, update_golden):
    """GitHub keeps the settings and ignores them: the gate is not there, nor are the rules."""
    ward.state.settings |= {"private": True, "visibility": "private"}
    upgrade = "Upgrade to GitHub Pro or make this repository public to enable this feature."
    ward.state.forbidden |= {"rulesets*": upgrade, "rules/*": upgrade, "branches/*/protection": upgrade}
    golden("doctor/github-private-without-gates.txt", text(ward.report(), capsys), update=update_golden)


def test_the_api_is_down(ward, capsys, update_golden):
    """One line is bad, every other unknown, within seconds."""
    begun = time.monotonic()
    with closed_port() as port:
        told = text(ward.report(MLRELEASE_GITHUB_API=f"http://127.0.0.1:{port}"), capsys)
    assert time.monotonic() - begun < 30
    golden("doctor/github-down.txt", told, update=update_golden)


def test_every_check_on_github_has_a_reason(ward):
    """And every reason a check."""
    assert {line.id for line in ward.lines()} == set(WHY_GITHUB)


def test_every_permission_is_that_of_a_check():
    """Each check that asks more than whether GitHub is there says what it takes."""
    asked = set(WHY_GITHUB) - {"github", "github-token", "github-clock", "workflow-files"}
    assert set(asking.NEEDS) == asked


def test_json(ward, capsys):
    """Which repository, whether it was asked, and where to read more about each line."""
    said = as_json(ward.report(), capsys)
    assert said["github"] == {"asked": True, "reason": "", "repository": NAME}
    assert said["scope"] == "local and github"
    assert {check["docs"] for check in said["checks"]} == {f"docs/doctor.md#{id_}" for id_ in WHY_GITHUB}
    assert said["counts"]["bad"] == 0


def test_each_question_is_asked_once(ward):
    """However many lines need its answer: GitHub counts. Only the clock has an answer of its own."""
    ward.lines()
    asked = [f"{call.path}?{call.query}" for call in ward.hub.calls]
    assert {call for call in asked if asked.count(call) > 1} == {f"/repos/{NAME}?"}
    assert asked.count(f"/repos/{NAME}?") == 2


def test_nothing_is_written(ward):
    """It looks only."""
    ward.lines()
    assert {call.method for call in ward.hub.calls} == {"GET"}


def test_no_token_is_ever_shown(ward, capsys):
    """In no form of the output, whatever goes wrong."""
    for variables in (
        {},
        {"MLRELEASE_GITHUB_API": ward.hub.api_url + "/nowhere"},
        {"MLRELEASE_GITHUB_REPOSITORY": "acme/other"},
    ):
        report = ward.report(**variables)
        assert ward.token not in text(report, capsys) + str(as_json(report, capsys))


# -- whom to ask -------------------------------------------------------------------------------------------------------


def test_a_remote_elsewhere_is_not_asked(ward):
    """A bare folder is no GitHub: no line, and the note says so."""
    reach = verb.github(replace(ward.clone, variables={}))
    assert (reach.asked, reach.name, reach.reason) == (None, "", "the remote is not on GitHub")
    assert verb.github_questions(replace(ward.patient(), github=None), reach) == []


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"MLRELEASE_GITHUB_REPOSITORY": "models"}, "MLRELEASE_GITHUB_REPOSITORY is not owner/name"),
        ({"MLRELEASE_GITHUB_TOKEN": "", "MLRELEASE_APP_ID": "7"}, "MLRELEASE_APP_KEY_FILE is not set"),
    ],
    ids=["no owner", "half an App"],
)
def test_settings_that_make_no_sense_are_a_line(ward, variables, reason):
    """Bad, as every verb that asks GitHub will fail; the local half goes on."""
    (line,) = ward.lines(**variables)
    assert (line.id, line.found.state) == ("github", State.BAD)
    assert reason in line.found.what
    assert line.found.fix
    assert ward.hub.calls == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", 401, forever=True), "refused the credentials"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", 404, forever=True), "is not there, or not for this token"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", 403, forever=True), "is not there, or not for this token"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", 500, forever=True), "answered 500"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", html(), forever=True), "text/html instead of JSON"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", reset(), forever=True), "did not answer"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", truncated(), forever=True), "did not answer"),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", secondary(60), forever=True), "asks to wait 60 s"),
        (
            lambda ward: ward.hub.fault(f"GET /repos/{NAME}", rate_limited(time.time() + 3000), forever=True),
            "asks to wait",
        ),
        (lambda ward: ward.hub.fault(f"GET /repos/{NAME}", Fault(200, []), forever=True), "something else than an object"),
    ],
    ids=[
        "a wrong token",
        "a repository that is not there",
        "a token for another repository",
        "GitHub is broken",
        "a login page",
        "a connection that is reset",
        "an answer that is cut off",
        "a secondary limit",
        "the limit of the hour",
        "a list for an object",
    ],
)
def test_without_the_repository_everything_else_is_unknown(ward, spoil, words):
    """One bad line with the cause; nothing else is asked, and no limit is waited for."""
    spoil(ward)
    begun = time.monotonic()
    first, *others = ward.lines()
    assert time.monotonic() - begun < 30
    assert (first.id, first.found.state) == ("github", State.BAD)
    assert words in first.found.what
    assert {line.found.state for line in others} == {State.UNKNOWN}
    assert {line.found.fix for line in others} == {"see github"}
    assert {call.path for call in ward.hub.calls} <= {f"/repos/{NAME}"}


@pytest.mark.parametrize(
    "fault",
    [500, secondary(60), reset(), html(), Fault(200, {"message": "none"}), Fault(200, None)],
    ids=["broken", "a limit", "reset", "a login page", "no list", "nothing"],
)
def test_one_answer_that_fails_is_one_line(ward, fault):
    """The others have theirs."""
    ward.hub.fault(f"GET /repos/{NAME}/actions/workflows", fault, forever=True)
    states = {line.id: line.found.state for line in ward.lines()}
    assert {id_ for id_, state in states.items() if state is not State.OK} == {"workflows", "reconcile-runs"}
    assert states["workflows"] in (State.UNKNOWN, State.BAD)


def test_a_stumble_is_not_told(ward):
    """Three answers of GitHub's own trouble, then the right one."""
    ward.hub.fault(f"GET /repos/{NAME}/actions/permissions", 502, 500, 503)
    assert found(ward, "actions-policy")[0] is State.OK


# -- the token ---------------------------------------------------------------------------------------------------------


def test_a_classic_token_reaches_too_far(ward):
    """It is told by its scopes."""
    token = ward.hub.make_token("ann", scopes="repo, workflow")
    state, what = found(ward, "github-token", MLRELEASE_GITHUB_TOKEN=token)
    assert state is State.WARN
    assert "a classic personal token from MLRELEASE_GITHUB_TOKEN" in what
    assert "scopes: repo, workflow: it reaches every repository of its owner" in what


def test_a_classic_token_with_narrow_scopes(ward):
    """Public repositories alone: no warning."""
    token = ward.hub.make_token("ann", scopes="public_repo")
    state, what = found(ward, "github-token", MLRELEASE_GITHUB_TOKEN=token)
    assert (state, "scopes: public_repo" in what) == (State.OK, True)


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        (90.5, State.OK, "expires in 90 d"),
        (8, State.OK, "expires in 8 d"),
        (3.5, State.WARN, "expires in 3 d"),
        (0.1, State.WARN, "expires in 2 h"),
    ],
    ids=["in a quarter", "in more than a week", "this week", "today"],
)
def test_a_token_that_ends_soon(ward, days, state, words):
    """Renewed before a deploy finds out."""
    token = ward.hub.make_token("ann", kind="fine", until=time.time() + days * 86400 + 60)
    assert found(ward, "github-token", MLRELEASE_GITHUB_TOKEN=token)[0] is state
    assert words in found(ward, "github-token", MLRELEASE_GITHUB_TOKEN=token)[1]


@pytest.mark.parametrize("text_", ["soon", "2026-13-45 10:00:00 UTC"])
def test_an_end_that_cannot_be_read_is_left_out(ward, text_):
    """Nothing is concluded from it."""
    body = ward.state.settings | {"permissions": {"pull": True}}
    ward.hub.fault(f"GET /repos/{NAME}", Fault(200, body, {"GitHub-Authentication-Token-Expiration": text_}), forever=True)
    assert found(ward, "github-token") == (
        State.OK,
        "a fine-grained personal token from MLRELEASE_GITHUB_TOKEN, rights here: pull",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("GITHUB_TOKEN", "actions"), ("GH_TOKEN", "fine")],
    ids=["a workflow's", "of the gh command"],
)
def test_the_variable_is_named(ward, name, kind):
    """So that one knows which to change."""
    token = ward.hub.make_token("x", kind=kind)
    _, what = found(ward, "github-token", MLRELEASE_GITHUB_TOKEN="", **{name: token})
    assert f"from {name}" in what


def test_an_app_is_named_by_its_key(ward):
    """Its tokens are made as they are needed."""
    app = ward.hub.make_app("deploy", [NAME])
    variables = {"MLRELEASE_APP_ID": app.app_id, "MLRELEASE_APP_KEY": app.private_key}
    state, what = found(ward, "github-token", MLRELEASE_GITHUB_TOKEN="", **variables)
    assert state is State.OK
    assert what.startswith("an App's key from MLRELEASE_APP_KEY")


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        (0, State.OK, "+0 s apart from GitHub"),
        (120, State.WARN, "s behind GitHub"),
        (-120, State.WARN, "s ahead of GitHub"),
        (4000, State.BAD, "s behind GitHub"),
    ],
    ids=["the same", "two minutes behind", "two minutes ahead", "an hour behind"],
)
def test_clocks_that_are_apart(ward, monkeypatch, ahead_s, state, words):
    """By the Date of an answer."""
    monkeypatch.setattr(ward.hub, "now", lambda: time.time() + ahead_s)
    told = found(ward, "github-clock")
    assert (told[0], words in told[1]) == (state, True)
