"""Pull requests: one for a branch, refreshed, never doubled; and who approved them."""

from __future__ import annotations

import threading

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.github import pulls
from mlrelease.forge.github.errors import ForbiddenError, InvalidError, NotFoundError
from support.faulty_server import answer, faulty
from support.github_desk import client
from support.github_server import Fault, lost, reset, truncated

BUMP = "mlrelease/bump/staging/credit-risk"


def opened(at, *, head=BUMP, title="credit-risk 7 → 8", body="why", labels=()):
    """The pull request of a bot."""
    return pulls.open_or_refresh(at.github, head=head, base="main", title=title, body=body, labels=labels)


def test_a_pull_request_is_opened(at):
    """With everything that a verb asks of it."""
    sha = at.branch(BUMP)
    pull, is_new = opened(at, labels=["mlrelease"])
    assert is_new
    assert pull == pulls.PullRequest(
        number=1,
        title="credit-risk 7 → 8",
        body="why",
        state="open",
        merged=False,
        head_branch=BUMP,
        head_sha=sha,
        base_branch="main",
        html_url=f"{at.hub.html_url}/{at.name}/pull/1",
        author="github-actions[bot]",
        is_fork=False,
        labels=("mlrelease",),
        base_sha=at.main,
        merge_sha="",
        is_draft=False,
    )


def test_the_same_again_changes_nothing(at):
    """No call but the look."""
    at.branch(BUMP)
    first, _ = opened(at, labels=["mlrelease"])
    before = len(at.hub.calls)
    again, is_new = opened(at, labels=["mlrelease"])
    assert (again, is_new) == (first, False)
    assert [call.method for call in at.hub.calls[before:]] == ["GET"]


def test_another_text_refreshes_the_same_one(at):
    """Title and body; its number stays."""
    at.branch(BUMP)
    opened(at)
    pull, is_new = opened(at, title="credit-risk 7 → 9", body="newer")
    assert (pull.number, pull.title, pull.body, is_new) == (1, "credit-risk 7 → 9", "newer", False)
    assert at.writes() == ["pulls"]


def test_line_ends_as_a_browser_sends_them_are_no_difference(at):
    """Somebody edited a word there and back."""
    at.branch(BUMP)
    opened(at, body="one\ntwo\n")
    at.state.pulls[1]["body"] = "one\r\ntwo"
    opened(at, body="one\ntwo\n")
    assert at.writes("PATCH") == []


def test_a_new_push_is_seen_in_the_same_one(at):
    """Its head is the branch's tip."""
    at.branch(BUMP)
    opened(at)
    newer = at.branch(BUMP)
    assert opened(at)[0].head_sha == newer
    assert pulls.read(at.github, 1).head_sha == newer


def test_labels_that_are_missing_are_added(at):
    """Those of people stay."""
    at.branch(BUMP)
    opened(at, labels=["one"])
    at.state.pulls[1]["labels"].append({"name": "by hand"})
    assert opened(at, labels=["one", "two"])[0].labels == ("one", "by hand", "two")


@pytest.mark.parametrize("ended", ["closed", "merged"])
def test_an_ended_one_is_not_found_again(at, ended):
    """A branch that is used again gets a new pull request."""
    at.branch(BUMP)
    opened(at)
    at.hub.close_pull(at.name, 1) if ended == "closed" else at.hub.merge(at.name, 1)
    assert pulls.find(at.github, head=BUMP, base="main") is None
    at.branch(BUMP)
    assert opened(at)[0].number == 2
    states = [(p.number, p.state, p.merged) for p in pulls.listed(at.github, head=BUMP, state="all")]
    assert states == [(2, "open", False), (1, "closed", ended == "merged")]


def test_a_branch_is_found_whatever_others_are_called(at):
    """By its whole name and its base."""
    for name in (BUMP, f"{BUMP}-2", "credit-risk"):
        at.pull(name)
    assert pulls.find(at.github, head=BUMP, base="main").number == 1
    assert pulls.find(at.github, head=BUMP, base="other") is None


def test_a_filter_that_github_leaves_out_of_account_finds_nothing_wrong(at):
    """It lists everything when it does not understand the head."""
    at.pull("another")
    items = at.github.get("pulls")
    with faulty(answer(items)) as server:
        elsewhere = client(at.hub, at.name, api_url=server.url)
        assert pulls.find(elsewhere, head=BUMP, base="main") is None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param([lost()], id="the answer was lost"),
        pytest.param([truncated()], id="the answer was cut off"),
        pytest.param([reset(), lost()], id="reset, then lost"),
        pytest.param([500, 500, lost()], id="500 twice, then lost"),
        pytest.param([502], id="502 before anything was done"),
    ],
)
def test_a_lost_answer_never_makes_a_second_one(at, fault):
    """It is looked up, and counts as opened now."""
    at.branch(BUMP)
    at.hub.fault("POST */pulls", *fault)
    pull, is_new = opened(at)
    assert (pull.number, is_new) == (1, True)
    assert len(at.state.pulls) == 1


def test_a_github_that_is_down_is_said_and_nothing_is_half_done(at):
    """The next run opens it."""
    at.branch(BUMP)
    at.hub.fault(f"* /repos/{at.name}/*", 503, forever=True)
    with pytest.raises(UnavailableError):
        opened(at)
    at.hub.faults.clear()
    assert opened(at)[1]


def test_somebody_who_was_faster_is_met_with_a_refresh(at):
    """GitHub keeps one open pull request for a pair of branches: 422, not a second one."""
    at.branch(BUMP)
    at.hub.fault(f"GET /repos/{at.name}/pulls", Fault(200, []))  # a look that saw nothing yet
    at.hub.open_pull(at.name, head=BUMP, user="ann")
    pull, is_new = opened(at, title="ours")
    assert (pull.number, pull.title, is_new) == (1, "ours", False)


def test_two_at_once_open_one(at):
    """Threads of two verbs."""
    at.branch(BUMP)
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(opened(at, body=f"by {n}"))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [pull.number for pull, _ in results] == [1] * 6
    assert sum(is_new for _, is_new in results) == 1
    assert len(at.state.pulls) == 1


def test_nothing_between_the_branches_is_refused(at):
    """GitHub's words."""
    at.hub.commit(at.name, "same", {})
    at.hub.commit(at.name, "main", {"x": "1"})
    at.state.git_path.joinpath("refs/heads/same").write_text(at.main + "\n")
    with pytest.raises(InvalidError, match="No commits between main and same"):
        opened(at, head="same")


def test_a_branch_that_was_never_pushed_is_refused(at):
    """The field is named."""
    with pytest.raises(InvalidError, match="head invalid"):
        opened(at, head="nowhere")


def test_a_very_long_text_is_cut_with_a_visible_mark(at):
    """GitHub takes 65,536 characters."""
    at.branch(BUMP)
    pull, _ = opened(at, title="t" * 1000, body="line\n" * 20_000)
    assert len(pull.title) == 256
    assert pull.title.endswith("…")
    assert pull.body.rstrip().endswith("**… cut here: the text is longer than GitHub takes.**")
    assert opened(at, title="t" * 1000, body="line\n" * 20_000)[1] is False


def test_a_fork_s_pull_request_is_said_to_be_one(at):
    """And is never taken for the bot's own of the same branch name."""
    fork = at.hub.fork(at.name, "mallory")
    at.hub.commit(fork, BUMP)
    number = at.hub.open_pull(at.name, head=f"mallory:{BUMP}", user="mallory")
    assert pulls.read(at.github, number).is_fork
    assert pulls.find(at.github, head=BUMP, base="main") is None
    at.branch(BUMP)
    assert opened(at)[0].number == number + 1


def test_a_deleted_fork_still_counts_as_one(at):
    """Its repository is null then."""
    number = at.pull()
    at.state.pulls[number]["head"]["repo"] = None
    assert pulls.read(at.github, number).is_fork


def test_a_number_that_is_not_there_is_not_found(at):
    """404."""
    with pytest.raises(NotFoundError):
        pulls.read(at.github, 7)


def test_a_token_without_the_right_is_told_which(at):
    """Reading is not writing."""
    token = at.hub.make_token("reader", kind="fine", permissions={"pull_requests": "read", "contents": "read"})
    at.branch(BUMP)
    github = client(at.hub, at.name, token=token)
    with pytest.raises(ForbiddenError, match="not accessible by personal access token") as caught:
        pulls.open_or_refresh(github, head=BUMP, base="main", title="t", body="b")
    assert "pull_requests=write" in caught.value.hint


@pytest.mark.parametrize("item", [{}, {"number": 1}, [], {"number": 1, "head": None, "base": {}}], ids=repr)
def test_an_unknown_form_is_an_error_and_no_crash(at, item):
    """A proxy or another API answered."""
    with faulty(answer(item)) as server, pytest.raises(Error, match="a form that is not known"):
        pulls.read(client(at.hub, at.name, api_url=server.url), 1)


# -- merged, closed, of a commit -----------------------------------------------------------------------------------


def test_a_merged_one_names_its_commit(at):
    """The squash commit on the base."""
    number = at.pull()
    sha = at.hub.merge(at.name, number)
    pull = pulls.read(at.github, number)
    assert (pull.state, pull.merged, pull.merge_sha) == ("closed", True, sha)
    assert sha == at.main


def test_a_commit_leads_to_its_pull_request(at):
    """The merge commit, and the commits before the merge."""
    number = at.pull("change")
    head = pulls.read(at.github, number).head_sha
    sha = at.hub.merge(at.name, number)
    assert [p.number for p in pulls.of_commit(at.github, sha)] == [number]
    assert [p.number for p in pulls.of_commit(at.github, head)] == [number]


def test_a_commit_without_a_pull_request_has_none(at):
    """Pushed by hand."""
    assert pulls.of_commit(at.github, at.hub.commit(at.name, "main", {"x": "y"})) == ()


def test_a_commit_that_github_does_not_have_has_none(at):
    """It answers 422; the caller is not stopped by it."""
    assert pulls.of_commit(at.github, "0" * 40) == ()


def test_closing_closes_and_closing_again_changes_nothing(at):
    """Unmerged."""
    number = at.pull()
    for _ in range(2):
        pulls.close(at.github, number)
        assert pulls.read(at.github, number).state == "closed"


# -- approvals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reviews", "approvers"),
    [
        pytest.param([], (), id="nobody"),
        pytest.param([("bob", "APPROVED")], ("bob",), id="one"),
        pytest.param([("cat", "APPROVED"), ("bob", "APPROVED")], ("bob", "cat"), id="two, sorted"),
        pytest.param([("bob", "APPROVED"), ("bob", "CHANGES_REQUESTED")], (), id="taken back"),
        pytest.param([("bob", "CHANGES_REQUESTED"), ("bob", "APPROVED")], ("bob",), id="given in the end"),
        pytest.param([("bob", "APPROVED"), ("bob", "COMMENTED")], ("bob",), id="a later comment takes nothing back"),
        pytest.param([("bob", "APPROVED"), ("bob", "DISMISSED")], (), id="dismissed"),
        pytest.param([("bob", "COMMENTED")], (), id="a comment is no approval"),
    ],
)
def test_who_approves(at, reviews, approvers):
    """The latest judgement of each person."""
    number = at.pull()
    for user, state in reviews:
        at.hub.review(at.name, number, user, state)
    assert pulls.approvers(at.github, number) == approvers


def test_reviews_of_deleted_accounts_and_drafts_do_not_count(at):
    """A pending review is seen by its author alone, yet may be listed."""
    number = at.pull()
    at.hub.review(at.name, number, "bob")
    at.hub.review(at.name, number, "cat")
    at.hub.review(at.name, number, "dan", "PENDING")
    at.state.reviews[0]["user"] = None
    assert pulls.approvers(at.github, number) == ("cat",)


def test_a_hundred_and_twenty_reviews_are_all_read(at):
    """The last page decides."""
    number = at.pull()
    for n in range(120):
        at.hub.review(at.name, number, f"u{n}", "COMMENTED")
    at.hub.review(at.name, number, "zoe")
    assert pulls.approvers(at.github, number) == ("zoe",)
    assert pulls.reviews(at.github, number)[-1].commit == pulls.read(at.github, number).head_sha
