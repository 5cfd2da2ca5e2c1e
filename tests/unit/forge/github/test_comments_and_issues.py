"""What sticks: one comment for a marker, one issue for a subject, written by ourselves; and texts at GitHub's limits."""

from __future__ import annotations

import pytest
from mlrelease.forge.github import comments, issues
from mlrelease.forge.github.text import LONGEST_BODY
from support.github_desk import client
from support.github_server import lost, truncated

MARKER = "mlrelease:validate:staging:credit-risk"


def put(at, number=1, *, body="hello", marker=MARKER):
    """A sticky comment."""
    return comments.sticky(at.github, number, marker=marker, body=body)


def bodies(at, number=1):
    """The comments as they stand."""
    return [comment["body"] for comment in at.state.comments_on(number)]


def test_a_comment_is_posted_with_its_hidden_marker(at):
    """In its first line."""
    at.pull()
    assert put(at) is True
    assert bodies(at) == [f"<!-- {MARKER} -->\nhello"]


def test_the_same_text_is_not_written_again(at):
    """Nobody is notified twice."""
    at.pull()
    assert [put(at), put(at)] == [True, False]
    assert at.writes() == ["issues/1/comments"]
    assert at.writes("PATCH") == []


def test_another_text_changes_the_one_that_is_there(at):
    """Also among three hundred others."""
    at.pull()
    put(at, body="old")
    for n in range(300):
        at.hub.comment(at.name, 1, "ann", f"noise {n}")
    assert put(at, body="new") is True
    assert bodies(at)[0] == f"<!-- {MARKER} -->\nnew"
    assert len(bodies(at)) == 301


def test_another_marker_is_another_comment(at):
    """One that begins alike too."""
    at.pull()
    put(at)
    put(at, marker=f"{MARKER}-2")
    assert len(bodies(at)) == 2


def test_a_stranger_with_our_marker_is_left_alone(at):
    """He could change what he wrote after the check."""
    at.pull()
    at.hub.comment(at.name, 1, "mallory", f"<!-- {MARKER} -->\nall green")
    assert put(at) is True
    assert bodies(at) == [f"<!-- {MARKER} -->\nall green", f"<!-- {MARKER} -->\nhello"]
    assert put(at, body="red") is True
    assert bodies(at)[0].endswith("all green")


def test_a_quoted_marker_is_no_marker(at):
    """Only the first line counts."""
    at.pull()
    at.hub.comment(at.name, 1, "github-actions[bot]", f"> quoted\n<!-- {MARKER} -->\nx")
    put(at)
    assert len(bodies(at)) == 2


def test_of_two_comments_of_two_jobs_at_once_one_goes_on(at):
    """The other would say for ever what was true once; a stranger's stays as it is."""
    at.pull()
    for author in ("github-actions[bot]", "mallory", "github-actions[bot]"):
        at.hub.comment(at.name, 1, author, f"<!-- {MARKER} -->\nold")
    assert [put(at, body="new"), put(at, body="new")] == [True, False]
    assert bodies(at) == [
        f"<!-- {MARKER} -->\nnew",
        f"<!-- {MARKER} -->\nold",
        f"<!-- {MARKER}:superseded -->\nSuperseded by the comment above.",
    ]


@pytest.mark.parametrize("fault", [lost(), truncated()], ids=["lost", "cut off"])
def test_a_lost_answer_leaves_one_comment(at, fault):
    """It is looked up."""
    at.pull()
    at.hub.fault("POST */comments", fault)
    assert put(at) is True
    assert len(bodies(at)) == 1


def test_a_person_s_token_finds_its_own(at):
    """Each author has a comment of its own."""
    at.pull()
    owner = client(at.hub, at.name, token=at.hub.token)
    put(at)
    assert comments.sticky(owner, 1, marker=MARKER, body="by hand") is True
    assert comments.sticky(owner, 1, marker=MARKER, body="by hand") is False
    assert len(bodies(at)) == 2


def test_a_comment_on_a_plain_issue_sticks_too(at):
    """Issues and pull requests share their comments."""
    number = issues.open_or_refresh(at.github, marker="m:1", title="t", body="b")
    assert put(at, number) is True
    assert len(bodies(at, number)) == 1


def test_a_very_long_comment_is_cut(at):
    """And is the same the next time."""
    at.pull()
    long = "| finding |\n" * 10_000
    assert [put(at, body=long), put(at, body=long)] == [True, False]
    assert len(bodies(at)[0]) <= LONGEST_BODY
    assert "cut here" in bodies(at)[0]


# -- issues --------------------------------------------------------------------------------------------------------

SUBJECT = "mlrelease:rolled-back:production:credit-risk"


def tell(at, *, title="rolled back", body="why", labels=()):
    """The issue of a subject."""
    return issues.open_or_refresh(at.github, marker=SUBJECT, title=title, body=body, labels=labels)


def test_an_issue_is_opened_once(at):
    """The same again does nothing."""
    assert [tell(at, labels=["incident"]), tell(at), tell(at)] == [1, 1, 1]
    issue = at.state.issues[1]
    assert (issue["title"], issue["body"]) == ("rolled back", f"<!-- {SUBJECT} -->\nwhy")
    assert [label["name"] for label in issue["labels"]] == ["incident"]
    assert at.writes() == ["issues"]
    assert at.writes("PATCH") == []


def test_another_text_is_written_into_it(at):
    """Its number stays."""
    tell(at)
    assert tell(at, title="rolled back again", body="newer") == 1
    assert (at.state.issues[1]["title"], at.state.issues[1]["body"].splitlines()[1]) == ("rolled back again", "newer")


def test_a_pull_request_with_the_marker_is_no_issue(at):
    """GitHub lists both as issues."""
    at.branch("x")
    at.hub.open_pull(at.name, head="x", body=f"<!-- {SUBJECT} -->\n", user="github-actions[bot]")
    assert tell(at) == 2


def test_a_stranger_s_issue_with_our_marker_is_not_ours(at):
    """Nor is it ever closed by us."""
    stranger = client(at.hub, at.name, token=at.hub.token)
    issues.open_or_refresh(stranger, marker=SUBJECT, title="mine", body="x")
    assert tell(at) == 2
    assert issues.close(at.github, marker=SUBJECT, comment="well again") == 2
    assert at.state.issues[1]["state"] == "open"


def test_an_issue_is_found_among_three_hundred(at):
    """Over all pages."""
    tell(at)
    for n in range(300):
        at.github.post("issues", {"title": f"other {n}"})
    assert tell(at) == 1


@pytest.mark.parametrize("fault", [lost(), truncated()], ids=["lost", "cut off"])
def test_a_lost_answer_leaves_one_issue(at, fault):
    """It is looked up."""
    at.hub.fault("POST */issues", fault)
    assert tell(at) == 1
    assert len(at.state.issues) == 1


def test_closing_says_why_first(at):
    """And a closed one is not closed again."""
    tell(at)
    assert issues.close(at.github, marker=SUBJECT, comment="well again") == 1
    assert issues.close(at.github, marker=SUBJECT, comment="well again") is None
    assert at.state.issues[1]["state"] == "closed"
    assert bodies(at) == [f"<!-- {SUBJECT}:closed -->\nwell again"]


def test_closing_that_was_killed_says_it_once(at):
    """The comment was there, the issue still open."""
    tell(at)
    comments.sticky(at.github, 1, marker=f"{SUBJECT}:closed", body="well again")
    assert issues.close(at.github, marker=SUBJECT, comment="well again") == 1
    assert len(bodies(at)) == 1


def test_the_next_time_is_a_new_issue(at):
    """A closed one is history."""
    tell(at)
    issues.close(at.github, marker=SUBJECT, comment="well again")
    assert tell(at) == 2
