"""Results on a commit: check runs with fifty annotations a call, the same never twice; else a commit status."""

from __future__ import annotations

import pytest
from mlrelease.errors import UnavailableError
from mlrelease.forge.github import checks
from mlrelease.forge.github.checks import MOST, Annotation
from mlrelease.forge.github.errors import InvalidError
from support.github_desk import client
from support.github_server import Fault, lost, truncated

NAME = "validate/online"


def remarks(count, **fields):
    """So many annotations."""
    return [
        Annotation(f"environments/staging/models/m{n}.yaml", n + 1, "pin-digest", f"finding {n}", **fields)
        for n in range(count)
    ]


def put(at, state="failure", *, annotations=(), title="2 findings", summary="# Findings", url="", sha="", github=None):
    """A result on the tip of main."""
    return checks.report(
        github or at.github,
        sha=sha or at.main,
        name=NAME,
        state=state,
        title=title,
        summary=summary,
        annotations=annotations,
        url=url,
    )


@pytest.mark.parametrize(
    ("state", "status", "conclusion"),
    [
        pytest.param("pending", "in_progress", None, id="pending is under way"),
        pytest.param("success", "completed", "success", id="success"),
        pytest.param("failure", "completed", "failure", id="failure"),
        pytest.param("error", "completed", "failure", id="error must not open the merge"),
        pytest.param("neutral", "completed", "neutral", id="neutral"),
    ],
)
def test_a_result_becomes_a_check_run(at, state, status, conclusion):
    """With title, summary and the page of the run."""
    page = put(at, state, url="https://ci.example/1")
    (run,) = at.state.check_runs
    assert (run["name"], run["head_sha"], run["status"], run["conclusion"]) == (NAME, at.main, status, conclusion)
    assert (run["output"]["title"], run["output"]["summary"]) == ("2 findings", "# Findings")
    assert (run["details_url"], page) == ("https://ci.example/1", run["html_url"])


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 120, MOST], ids=lambda n: f"{n} annotations")
def test_annotations_go_fifty_a_call(at, count):
    """All of them, in order, once."""
    put(at, annotations=remarks(count))
    (run,) = at.state.check_runs
    assert [a["message"] for a in at.state.annotations(run["id"])] == [f"finding {n}" for n in range(count)]
    assert len(at.writes()) + len(at.writes("PATCH")) == max(1, -(-count // 50))


def test_more_than_anybody_reads_is_cut_with_a_visible_mark(at):
    """Five thousand findings fit: the first ones, and a word about the rest."""
    put(at, annotations=remarks(5000))
    (run,) = at.state.check_runs
    assert len(at.state.annotations(run["id"])) == MOST
    assert run["output"]["summary"].startswith(f"**{MOST} of 5000 annotations are shown.**")


def test_the_same_result_again_changes_nothing(at):
    """Annotations only add up, so that a second report would double them."""
    put(at, annotations=remarks(60))
    before = len(at.writes()), len(at.writes("PATCH"))
    page = put(at, annotations=remarks(60))
    assert (len(at.writes()), len(at.writes("PATCH"))) == before
    assert page == at.state.check_runs[0]["html_url"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"state": "success"}, id="another state"),
        pytest.param({"title": "3 findings"}, id="another title"),
        pytest.param({"summary": "other"}, id="another summary"),
        pytest.param({"annotations": remarks(61)}, id="another annotation"),
    ],
)
def test_another_result_is_a_new_run_of_the_same_name(at, change):
    """The newest counts, for people and for rules; no annotation is doubled."""
    put(at, annotations=remarks(60))
    put(at, **({"annotations": remarks(60)} | change))
    first, second = at.state.check_runs
    assert len(at.state.annotations(first["id"])) == 60
    assert len(at.state.annotations(second["id"])) == len(change.get("annotations", remarks(60)))


def test_a_pending_one_is_finished_not_doubled(at):
    """Pending, then the result: one run."""
    put(at, "pending")
    put(at, "success")
    (run,) = at.state.check_runs
    assert (run["status"], run["conclusion"]) == ("completed", "success")


def test_pending_again_after_a_result_is_a_new_run(at):
    """A maintainer dispatched it once more."""
    put(at, "failure")
    put(at, "pending")
    assert [run["status"] for run in at.state.check_runs] == ["completed", "in_progress"]


def test_another_commit_has_its_own_run(at):
    """A push makes the old result no result."""
    other = at.branch("x")
    put(at, "success")
    put(at, "success", sha=other)
    assert [run["head_sha"] for run in at.state.check_runs] == [at.main, other]


@pytest.mark.parametrize("calls", [1, 2, 3], ids=lambda n: f"killed at write {n}")
def test_a_report_that_was_killed_is_made_whole_by_the_next(at, calls):
    """Whatever was sent before: one newest run with all annotations once, and nothing left under way."""
    at.hub.fault(f"* /repos/{at.name}/check-runs*", *[Fault()] * (calls - 1), Fault(503), forever=True)
    with pytest.raises(UnavailableError):
        put(at, annotations=remarks(120))
    at.hub.faults.clear()
    put(at, annotations=remarks(120))
    newest = at.state.check_runs[-1]
    assert [a["message"] for a in at.state.annotations(newest["id"])] == [f"finding {n}" for n in range(120)]
    assert newest["conclusion"] == "failure"
    assert {run["status"] for run in at.state.check_runs} == {"completed"}
    assert [run["conclusion"] for run in at.state.check_runs[:-1]] in ([], ["cancelled"])


@pytest.mark.parametrize("fault", [lost(), truncated(), 502], ids=["lost", "cut off", "502 before"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_lost_answer_doubles_neither_run_nor_annotation(at, method, fault):
    """Annotations add up, so that not even an update may be sent twice unseen."""
    at.hub.fault(f"{method} */check-runs*", fault)
    put(at, annotations=remarks(120))
    (run,) = at.state.check_runs
    assert [a["message"] for a in at.state.annotations(run["id"])] == [f"finding {n}" for n in range(120)]


def test_a_report_that_was_killed_and_then_says_something_else_is_begun_again(at):
    """The half one is ended: nobody else would."""
    at.hub.fault("PATCH */check-runs/*", 503, forever=True)
    with pytest.raises(UnavailableError):
        put(at, annotations=remarks(120))
    at.hub.faults.clear()
    put(at, annotations=remarks(10))
    assert [(run["conclusion"], len(at.state.annotations(run["id"]))) for run in at.state.check_runs] == [
        ("cancelled", 50),
        ("failure", 10),
    ]


def test_the_result_before_the_last_one_again_is_a_new_run(at):
    """Red, green, red: the newest says red."""
    for state in ("failure", "success", "failure"):
        put(at, state)
    assert [run["conclusion"] for run in at.state.check_runs] == ["failure", "success", "failure"]


def test_another_app_s_run_of_that_name_is_not_touched(at):
    """Only its own App may change it."""
    app = at.hub.make_app("other", [at.name])
    token = at.hub.make_token("other[bot]", kind="app", app=app)
    put(at, "success", github=client(at.hub, at.name, token=token))
    put(at, "failure")
    assert [(run["app"]["slug"], run["conclusion"]) for run in at.state.check_runs] == [
        ("other", "success"),
        ("github-actions", "failure"),
    ]


def test_an_empty_summary_and_a_long_title_are_what_github_takes(at):
    """A title has 255 characters, a summary is never missing."""
    put(at, title="t" * 1000, summary="")
    output = at.state.check_runs[0]["output"]
    assert len(output["title"]) == 250
    assert output["summary"] == " "


def test_a_long_summary_is_cut(at):
    """65,535 characters."""
    put(at, summary="x\n" * 60_000)
    assert len(at.state.check_runs[0]["output"]["summary"]) <= 65_535


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(Annotation("a", 0, "t", "m"), {"start_line": 1, "end_line": 1}, id="a file without a line"),
        pytest.param(Annotation("a", 7, "t", "m", "warning"), {"start_line": 7, "annotation_level": "warning"}, id="a warning"),
        pytest.param(Annotation("a", 7, "title", ""), {"message": "title"}, id="no message"),
        pytest.param(Annotation("a", 7, "t" * 300, "m" * 99_999), {"title": "t" * 249 + "…"}, id="far too long"),
    ],
)
def test_an_annotation_is_what_github_takes(at, annotation, expected):
    """Whatever a finding says."""
    put(at, annotations=[annotation])
    (sent,) = at.state.annotations(at.state.check_runs[0]["id"])
    assert {key: sent[key] for key in expected} == expected
    assert len(sent["message"]) <= 16_000


# -- where check runs may not be written ---------------------------------------------------------------------------


@pytest.fixture
def by_hand(at):
    """A client with a person's classic token."""
    return client(at.hub, at.name, token=at.hub.token)


@pytest.mark.parametrize(
    ("state", "status"),
    [("pending", "pending"), ("success", "success"), ("failure", "failure"), ("error", "error"), ("neutral", "success")],
)
def test_a_person_s_token_writes_a_status_instead(at, by_hand, state, status):
    """Of the same name, so that a rule that asks for it is met."""
    assert put(at, state, url="https://ci.example/1", annotations=remarks(3), github=by_hand) == "https://ci.example/1"
    (found,) = at.state.statuses
    assert (found["context"], found["state"], found["target_url"]) == (NAME, status, "https://ci.example/1")
    assert at.state.check_runs == []


def test_a_fine_grained_token_writes_a_status_too(at):
    """Its permissions have no checks."""
    token = at.hub.make_token("ann", kind="fine", permissions={"statuses": "write", "checks": "read", "contents": "read"})
    put(at, github=client(at.hub, at.name, token=token))
    assert [found["context"] for found in at.state.statuses] == [NAME]


def test_the_same_status_again_is_not_written(at, by_hand):
    """Another one is."""
    for state in ("failure", "failure", "success", "failure"):
        put(at, state, github=by_hand)
    assert [found["state"] for found in at.state.statuses] == ["failure", "success", "failure"]


def test_a_lost_status_is_looked_up(at, by_hand):
    """And written once."""
    at.hub.fault("POST */statuses/*", lost())
    put(at, github=by_hand)
    assert len(at.state.statuses) == 1


def test_a_status_has_a_short_description_and_a_real_address(at, by_hand):
    """140 characters; `target_url` must be http(s)."""
    put(at, title="x" * 500, url="javascript:alert(1)", github=by_hand)
    assert len(at.state.statuses[0]["description"]) == 140
    assert at.state.statuses[0]["target_url"] is None


def test_a_commit_that_github_does_not_have_is_an_error(at):
    """It was not pushed: no status is tried in its place."""
    with pytest.raises(InvalidError, match="No commit found for SHA"):
        put(at, sha="0" * 40)
    assert at.writes() == []
