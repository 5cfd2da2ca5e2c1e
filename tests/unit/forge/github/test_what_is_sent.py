"""Every write to GitHub as it goes out: method, path and the whole body, and that the same again sends nothing."""

from __future__ import annotations

import hashlib

import pytest
from mlrelease.errors import Error
from mlrelease.forge.github import checks, comments, deployments, issues, pulls, releases
from mlrelease.forge.github.checks import Annotation
from mlrelease.forge.github.errors import ForbiddenError, InvalidError, NotFoundError
from mlrelease.http.errors import MaybeDoneError
from support.scripted_github import Script, ScriptedGitHub

SHA = "a" * 40
LOST = MaybeDoneError("nobody knows")


# -- issues and comments -------------------------------------------------------------------------------------------


def test_an_issue_is_opened_with_its_marker_and_labels():
    """Its number is what the caller gets."""
    github = ScriptedGitHub({"POST issues": {"number": 7, "title": "T", "body": ""}})
    assert issues.open_or_refresh(github, marker="m", title="T", body="B", labels=("a", "b")) == 7
    assert github.writes == [("POST", "issues", {"title": "T", "body": "<!-- m -->\nB", "labels": ["a", "b"]})]
    assert not github.calls[-1].idempotent


def issue(number=7, *, title="T", body="<!-- m -->\r\nB", login="bot", **more):
    return {"number": number, "title": title, "body": body, "user": {"login": login}, **more}


@pytest.mark.parametrize(
    ("there", "writes"),
    [
        ([issue()], []),
        ([issue(title="old")], [("PATCH", "issues/7", {"title": "T", "body": "<!-- m -->\nB"})]),
        ([issue(body="<!-- m -->\nold")], [("PATCH", "issues/7", {"title": "T", "body": "<!-- m -->\nB"})]),
        ([issue(3, pull_request={}), issue(4, login="eve"), issue(5, body="<!-- n -->\nB"), issue(6, body=None), issue()], []),
    ],
    ids=[
        "the same",
        "another title",
        "another text",
        "behind a pull request, a stranger's, another subject's and an empty one",
    ],
)
def test_an_issue_that_is_there_is_refreshed_only_where_it_differs(there, writes):
    """And its labels are a person's from then on."""
    github = ScriptedGitHub({"GET issues": there})
    assert issues.open_or_refresh(github, marker="m", title="T", body="B", labels=("a",)) == 7
    assert github.writes == writes
    assert github.calls[0].params == {"per_page": 100, "state": "open"}


def test_an_issue_is_closed_after_saying_why():
    """In this order: closed without a word, nobody would ever say it."""
    github = ScriptedGitHub({"GET issues": [issue()]})
    assert issues.close(github, marker="m", comment="well again") == 7
    assert github.writes == [
        ("POST", "issues/7/comments", {"body": "<!-- m:closed -->\nwell again"}),
        ("PATCH", "issues/7", {"state": "closed", "state_reason": "completed"}),
    ]
    assert issues.close(ScriptedGitHub(), marker="m", comment="x") is None


def test_of_two_comments_the_older_stays_and_the_other_says_so():
    """Two jobs at once made them; a third run finds one."""
    there = [{"id": n, "body": "<!-- m -->\nB", "user": {"login": "bot"}} for n in (1, 2, 3)]
    github = ScriptedGitHub({"GET issues/9/comments": there})
    assert comments.sticky(github, 9, marker="m", body="B")
    superseded = {"body": "<!-- m:superseded -->\nSuperseded by the comment above."}
    assert github.writes == [("PATCH", "issues/comments/2", superseded), ("PATCH", "issues/comments/3", superseded)]
    assert not comments.sticky(ScriptedGitHub({"GET issues/9/comments": there[:1]}), 9, marker="m", body="B")


def test_a_comment_whose_answer_was_lost_is_looked_up():
    """It arrived: it is not sent twice."""
    found = [{"id": 1, "body": "<!-- m -->\nB", "user": {"login": "bot"}}]
    github = ScriptedGitHub({"GET issues/9/comments": Script([], found), "POST issues/9/comments": LOST})
    assert comments.sticky(github, 9, marker="m", body="B")
    assert len(github.writes) == 1


@pytest.mark.parametrize("user", [None, {}, {"login": ""}, {"login": "eve"}, {"login": "BOT"}])
def test_a_comment_without_our_login_is_nobody_s(user):
    """Of a deleted account, or of somebody who writes our marker."""
    item = {"id": 1, "body": "<!-- m -->\nB", "user": user}
    assert not comments.is_own(ScriptedGitHub(), item)
    assert comments.find(ScriptedGitHub({"GET issues/9/comments": [item]}), 9, marker="m") is None


# -- deployments ---------------------------------------------------------------------------------------------------


def test_a_deployment_merges_nothing_and_waits_for_no_check():
    """GitHub's defaults would do both."""
    github = ScriptedGitHub({"POST deployments": {"id": 5}})
    found = deployments.begin(github, sha=SHA, environment="prod", description="d" * 150, payload={"run": 1})
    assert found == (5, "")
    assert github.writes == [
        (
            "POST",
            "deployments",
            {
                "ref": SHA,
                "task": "deploy:mlrelease",
                "environment": "prod",
                "description": "d" * 139 + "…",
                "payload": {"run": 1},
                "auto_merge": False,
                "required_contexts": [],
            },
        )
    ]
    asked = {"per_page": 100, "sha": SHA, "environment": "prod", "task": "deploy:mlrelease"}
    assert github.calls[0].params == asked


@pytest.mark.parametrize("state", ["", "queued", "pending", "in_progress", "success"])
def test_a_deployment_under_way_or_live_is_gone_on_with(state):
    """The newest of them that is."""
    statuses = [{"state": state}] if state else []
    answers = {
        "GET deployments": [{"id": 10}, {"id": 9}, {"id": 8}],
        "GET deployments/10/statuses": [{"state": "failure"}],
        "GET deployments/9/statuses": [{"state": "inactive"}],
        "GET deployments/8/statuses": statuses,
    }
    github = ScriptedGitHub(answers)
    assert deployments.begin(github, sha=SHA, environment="prod", description="", payload={}) == (8, state)
    assert github.writes == []


@pytest.mark.parametrize(
    ("urls", "sent"),
    [
        ({}, {}),
        ({"log_url": "https://l", "environment_url": "http://e"}, {"log_url": "https://l", "environment_url": "http://e"}),
        ({"log_url": "/tmp/log", "environment_url": "unix:/sock"}, {}),
    ],
    ids=["none", "both", "no addresses for a browser"],
)
def test_a_state_is_sent_once_with_addresses_that_a_browser_opens(urls, sent):
    """GitHub refuses others; and it must not end older ones by itself, as it does for some environments only."""
    github = ScriptedGitHub({"GET deployments/5/statuses": [{"state": "queued"}]})
    deployments.set_state(github, 5, "in_progress", description="x", **urls)
    body = {"state": "in_progress", "description": "x", "auto_inactive": False} | sent
    assert github.writes == [("POST", "deployments/5/statuses", body)]
    again = ScriptedGitHub({"GET deployments/5/statuses": [{"state": "in_progress"}]})
    deployments.set_state(again, 5, "in_progress", description="other words")
    assert again.writes == []


def test_after_a_success_the_older_ones_become_inactive_until_one_is():
    """Newer ones, failed ones and all behind the first inactive one are left alone."""
    states = {9: "queued", 5: "queued", 4: "success", 3: "failure", 2: "in_progress", 1: "inactive", 0: "success"}
    answers = {f"GET deployments/{n}/statuses": [{"state": state}] for n, state in states.items()}
    answers |= {"GET deployments/5": {"environment": "prod"}, "GET deployments": [{"id": n} for n in states]}
    github = ScriptedGitHub(answers)
    deployments.finish(github, 5, "success", description="done")
    ended = {"state": "inactive", "description": "superseded by deployment 5", "auto_inactive": False}
    assert github.writes == [
        ("POST", "deployments/5/statuses", {"state": "success", "description": "done", "auto_inactive": False}),
        ("POST", "deployments/4/statuses", ended),
        ("POST", "deployments/2/statuses", ended),
    ]


@pytest.mark.parametrize("state", ["failure", "error"])
def test_after_anything_else_what_was_live_stays_so(state):
    """It still answers."""
    github = ScriptedGitHub({"GET deployments": [{"id": 4}]})
    deployments.finish(github, 5, state, description="no", log_url="https://l")
    assert [body["state"] for _, _, body in github.writes] == [state]
    assert github.writes[0][2]["log_url"] == "https://l"


# -- checks --------------------------------------------------------------------------------------------------------


def report(github, state="failure", **more):
    return checks.report(github, sha=SHA, name="plan", state=state, title="T", summary="S", url="https://u", **more)


def test_a_check_run_is_sent_whole():
    """With the annotation's line from one on, and a title that stands in for a message that is empty."""
    github = ScriptedGitHub({"POST check-runs": lambda body: {"id": 3, "html_url": "https://page", **body}})
    remarks = (Annotation("a.yaml", 0, "t", "m"), Annotation("b.yaml", 7, "t" * 300, "", "notice"))
    assert report(github, annotations=remarks) == "https://page"
    (write,) = github.writes
    identity = write[2].pop("external_id")
    assert identity.startswith("mlrelease:")
    assert len(identity) == len("mlrelease:") + 24
    at = {"start_line": 1, "end_line": 1, "annotation_level": "failure", "title": "t", "message": "m"}
    long = {"start_line": 7, "end_line": 7, "annotation_level": "notice", "title": "t" * 249 + "…", "message": "t" * 300}
    output = {"title": "T", "summary": "S", "annotations": [{"path": "a.yaml", **at}, {"path": "b.yaml", **long}]}
    assert write == (
        "POST",
        "check-runs",
        {
            "name": "plan",
            "head_sha": SHA,
            "started_at": "2027-01-15T08:00:00.000Z",
            "status": "completed",
            "conclusion": "failure",
            "output": output,
            "details_url": "https://u",
        },
    )


@pytest.mark.parametrize("refusal", [ForbiddenError(403, "", "no"), NotFoundError(404, "", "no")])
@pytest.mark.parametrize(
    ("state", "sent"),
    [("pending", "pending"), ("success", "success"), ("failure", "failure"), ("error", "error"), ("neutral", "success")],
)
def test_where_check_runs_may_not_be_written_it_is_a_status(refusal, state, sent):
    """With the same name, and the title as its description."""
    github = ScriptedGitHub({"POST check-runs": refusal})
    assert report(github, state) == "https://u"
    status = {"state": sent, "context": "plan", "description": "T", "target_url": "https://u"}
    assert github.writes[-1] == ("POST", f"statuses/{SHA}", status)


@pytest.mark.parametrize(
    ("newest", "is_sent"),
    [
        ({}, False),
        ({"state": "success"}, True),
        ({"description": "old"}, True),
        ({"target_url": "https://old"}, True),
        ({"context": "other"}, True),
    ],
    ids=["the same", "another state", "another title", "another address", "another's"],
)
def test_a_status_is_written_unless_the_newest_of_its_name_says_the_same(newest, is_sent):
    """An older one that did say it counts no more."""
    same = {"state": "failure", "context": "plan", "description": "T", "target_url": "https://u"}
    older = [same] if newest.get("context") != "other" else []
    answers = {"POST check-runs": ForbiddenError(403, "", "no"), f"GET commits/{SHA}/statuses": [same | newest, *older]}
    github = ScriptedGitHub(answers)
    report(github)
    assert [path for _, path, _ in github.writes] == ["check-runs", *([f"statuses/{SHA}"] if is_sent else [])]


# -- pull requests, releases --------------------------------------------------------------------------------------


def pull(number=3, *, head="h", base="main", **more):
    repo = {"full_name": "acme/models"}
    item = {"number": number, "title": "T", "body": "B", "state": "open", "html_url": "u", "labels": [], **more}
    return item | {"head": {"ref": head, "sha": SHA, "repo": repo}, "base": {"ref": base, "repo": repo}}


def test_a_pull_request_is_opened_and_then_labelled():
    """Opening it takes no labels; it is asked for again, so that they are in what the caller gets."""
    github = ScriptedGitHub({"POST pulls": pull(), "GET pulls/3": pull(labels=[{"name": "a"}])})
    found, opened = pulls.open_or_refresh(github, head="h", base="main", title="T", body="B", labels=("a",))
    assert (found.number, found.labels, opened) == (3, ("a",), True)
    assert github.writes == [
        ("POST", "pulls", {"title": "T", "head": "h", "base": "main", "body": "B"}),
        ("POST", "issues/3/labels", {"labels": ["a"]}),
    ]
    assert github.calls[0].params == {"per_page": 100, "state": "open", "base": "main", "head": "acme:h"}
    assert github.calls[2].idempotent


def test_somebody_faster_is_found_and_not_said_to_be_opened():
    """Only where GitHub says that there is one; any other refusal is the caller's."""
    exists = InvalidError(422, "custom", "GitHub refuses it (422): A pull request already exists for acme:h.")
    github = ScriptedGitHub({"GET pulls": Script([], [pull()]), "POST pulls": exists})
    found, opened = pulls.open_or_refresh(github, head="h", base="main", title="T", body="B")
    assert (found.number, opened) == (3, False)
    for refusal, there in ((exists, []), (InvalidError(422, "", "No commits between main and h"), [pull()])):
        github = ScriptedGitHub({"GET pulls": Script([], there), "POST pulls": refusal})
        with pytest.raises(InvalidError):
            pulls.open_or_refresh(github, head="h", base="main", title="T", body="B")


def test_a_pull_request_is_closed():
    """What is set twice is set once."""
    github = ScriptedGitHub()
    pulls.close(github, 3)
    assert github.writes == [("PATCH", "pulls/3", {"state": "closed"})]


def release(**more):
    said = {
        "id": 1,
        "tag_name": "v1",
        "name": "N",
        "body": "B",
        "draft": True,
        "upload_url": "https://up{?name}",
        "html_url": "h",
    }
    return said | more


def test_a_draft_is_made_refreshed_and_published_once():
    """A published one is given back as it is."""
    github = ScriptedGitHub({"POST releases": release()})
    assert releases.draft(github, tag="v1", name="N", body="B", target="main").upload_url == "https://up"
    body = {"tag_name": "v1", "target_commitish": "main", "name": "N", "body": "B", "draft": True}
    assert github.writes == [("POST", "releases", body)]
    github = ScriptedGitHub({"GET releases": [release(name="old")], "PATCH releases/1": release()})
    releases.draft(github, tag="v1", name="N", body="B", target="main")
    assert github.writes == [("PATCH", "releases/1", {"name": "N", "body": "B", "target_commitish": "main"})]
    github = ScriptedGitHub({"GET releases/1": release(), "PATCH releases/1": release(draft=False)})
    assert not releases.publish(github, 1).draft
    assert github.writes == [("PATCH", "releases/1", {"draft": False})]
    github = ScriptedGitHub({"GET releases/1": release(draft=False)})
    assert not releases.publish(github, 1).draft
    assert github.writes == []


DATA = b"bytes"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def asset(**more):
    return {"id": 4, "name": "a.txt", "size": len(DATA), "digest": DIGEST, "state": "uploaded", **more}


@pytest.mark.parametrize(
    ("there", "draft", "says"),
    [
        ([asset()], False, None),
        ([asset(digest=None)], False, None),
        ([asset()], True, None),
        ([asset(digest="sha256:other")], False, "a.txt has other bytes in the published release v1"),
        ([asset(size=9, digest=None)], False, "a.txt has other bytes in the published release v1"),
        ([asset(state="starter")], False, "a.txt has other bytes in the published release v1"),
        ([], False, "a.txt is missing in the published release v1"),
        ([asset(name="b.txt")], False, "a.txt is missing in the published release v1"),
    ],
    ids=["the same", "the same, of a server that says no digest", "the same on a draft", "another digest", "another size",
         "half sent", "none", "one of another name"],
)  # fmt: skip
def test_what_people_downloaded_does_not_change(there, draft, says):
    """The same bytes are not sent again; others are refused, with what to do."""
    item = release(draft=draft, assets=there)
    github = ScriptedGitHub({"GET releases/1": item})
    if says is None:
        assert releases.upload(github, releases._release(item), "a.txt", DATA, "text/plain").id == 4
    else:
        with pytest.raises(Error) as raised:
            releases.upload(github, releases._release(item), "a.txt", DATA, "text/plain")
        assert (raised.value.message, raised.value.where) == (says, "h")
        assert raised.value.hint == "a published release is not changed: cut the next one"
    assert github.writes == []
