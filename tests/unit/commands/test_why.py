"""`why`: from what serves, a bundle or an answer's headers to everything; each line names its source, nothing is guessed."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlrelease.commands.why import WhyOptions, why
from mlrelease.errors import Error, UsageError
from mlrelease.model.when import iso
from mlrelease.render.report import markdown
from mlrelease.render.why import HEADERS
from support.desk import told
from support.pair import identity
from support.past import RUN, past

GOLDEN = Path(__file__).parents[2] / "golden" / "past"
SECRETS = ("hunter2", "s3cret", "sig=abc", "token=abc")
pytestmark = pytest.mark.xdist_group("past")


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    with identity():
        yield past(tmp_path_factory.mktemp("past") / "w")


def asked(story, environment="", **options):
    return why(story.pair.person(), environment, WhyOptions(**options))


def facts(report, environment="production"):
    """What is said by what it is about; several of one name as a list."""
    found = {}
    for line in (dict(zip(HEADERS, row, strict=True)) for row in report.rows):
        if line["environment"] == environment:
            found.setdefault(line["about"], []).append(line["what"])
    return {about: what[0] if len(what) == 1 else what for about, what in found.items()}


def only(report):
    (explanation,) = report.data["explanations"]
    return explanation


CASES = {
    "serving": lambda story: {"environment": "production"},
    "bundle": lambda story: {"bundle": story.bundle("2")},
    "candidate": lambda story: {"bundle": story.commits["candidate"], "environment": "production"},
    "offline": lambda story: {"environment": "production", "offline": True},
}


@pytest.mark.parametrize("case", CASES)
def test_each_answer_reads_as_it_is_kept(story, case, capsys, update_golden):
    """What serves after a rollback, a bundle in two environments, a candidate that was never proved, and without a network."""
    text = told(asked(story, **CASES[case](story)), story.pair, capsys)
    path = GOLDEN / f"why-{case}.txt"
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_no_golden_file_is_left_over():
    """Each is a case of this file or of `test_at.py`."""
    moments = ("before", "one", "two", "back", "now")
    assert {path.stem for path in GOLDEN.iterdir()} == {*(f"why-{c}" for c in CASES), *(f"at-{m}" for m in moments)}


def test_a_bundle_is_followed_to_commit_approval_gates_run_and_data(story):
    """Each with the source that says so."""
    report = asked(story, "production", bundle=story.bundle("2"))
    found = facts(report)
    assert found["wine 2: commit"].startswith(story.commits["two"][:9])
    assert found["wine 2: pull request"] == "#12"
    assert "by grace" in found["wine 2: approval"]
    assert "https://ci.example.com/runs/7: looked at the plan" in found["wine 2: approval"]
    assert found["wine 2: gate digest"].startswith("passed: ")
    assert "retrain of monday by grace" in found["wine 2: run"]
    assert found["wine 2: code"] == f"train.py at {RUN.git_commit}"
    assert found["wine 2: data"].startswith("wine (training), digest d1a2")
    assert "rolled back" in found["wine 2: since"]
    assert found["also ran in"].startswith("staging/wine")
    events = {event.id for event in story.pair.site("production").ledger.read("production").events}
    events |= {event.id for event in story.pair.site("staging").ledger.read("staging").events}
    for *_, source in report.rows:
        kind, _, rest = source.partition(" ")
        assert (kind == "ledger" and rest in {*events, "golden"}) or kind in ("git", "MLflow")


def test_what_serves_is_explained_by_what_brought_it_back(story):
    """With its first proof: the gates of a rollback were opened long before."""
    found = facts(asked(story, "production"))
    assert found["wine 1: commit"].startswith(story.commits["back"][:9])
    assert found["wine 1: approval"].endswith("a rollback waits for none")
    assert "replaced in between" in found["wine 1: first proved"]
    assert "wine 1: gate promoted_from, then" in found
    assert found["ran in"].startswith("production/wine")


def test_a_model_narrows_it(story):
    """To its own lines."""
    explanation = only(asked(story, "production", model="wine"))
    assert list(explanation["components"]) == ["model:wine"]
    with pytest.raises(UsageError, match="serves nothing of that name"):
        asked(story, "production", model="port")


def test_a_model_that_the_bundle_does_not_have_is_refused(story):
    """An explanation of nothing would look like an answer; one that it has narrows it."""
    bundle = story.bundle("2")
    with pytest.raises(UsageError) as refused:
        asked(story, bundle=bundle, model="port", offline=True)
    assert refused.value.message == f"wine 2 ({bundle[:7]}) has no model 'port'"
    assert refused.value.hint == "models there: wine"
    for one in asked(story, bundle=bundle, model="wine", offline=True).data["explanations"]:
        assert list(one["components"]) == ["model:wine"]


def test_secrets_that_somebody_logged_are_hidden(story, capsys):
    """In every form of the answer."""
    report = asked(story, bundle=story.bundle("2"))
    texts = (told(report, story.pair, capsys), told(report, story.pair, capsys, output="json"), markdown(report))
    for text in texts:
        assert "db_password" in text
        assert not [secret for secret in SECRETS if secret in text]


def test_json_is_json_whatever_was_logged(story, capsys):
    """NaN is no JSON, and is kept as a word."""
    text = told(asked(story, "production", bundle=story.bundle("2")), story.pair, capsys, output="json")

    def no_constant(name):
        raise AssertionError(name)

    data = json.loads(text.rpartition("exit code")[0], parse_constant=no_constant)
    (explanation,) = data["explanations"]
    component = explanation["components"]["model:wine"]
    assert component["run"]["metrics"] == {"broken": "nan", "rmse": 1.25}
    assert component["run"]["git_commit"] == RUN.git_commit
    assert component["golden"]["digest"].startswith("sha256:")
    assert component["golden"]["rows"] == 1
    assert (component["commit"]["sha"], component["pull"]["number"]) == (story.commits["two"], 12)
    assert component["pull"]["approvers"] is None
    assert [gate["gate"] for gate in component["gates"]] == ["exists", "digest", "promoted_from", "rejected"]
    assert [one["what"] for one in component["since"]] == ["rolled_back"]
    assert explanation["serves_now"] is False
    assert [run["environment"] for run in explanation["runs"]] == ["staging"]
    assert data["request"] is None


def test_a_candidate_that_was_put_back_is_explained_too(story):
    """It may have answered for seconds."""
    report = asked(story, "production", bundle=story.commits["candidate"][:6])
    found = facts(report)
    assert found["served"].startswith("never proved in production: update rolled_back")
    assert found["wine 3: commit"].startswith(story.commits["three"][:9])
    assert "proof failed" in found["probes"]
    assert only(report)["since"] == ""


# -- by an answer's headers ------------------------------------------------------------------------------------------


def headers(story, version="2", **more):
    return {"X-Bundle": story.bundle(version), "X-Model-Version": version, "X-Request-Id": "req-7"} | more


def request(story, tmp_path, given, environment=""):
    file = tmp_path / "answer"
    file.write_text("HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items()) + "\r\n{}")
    return asked(story, environment, request=str(file))


def test_a_request_leads_to_the_pass_that_its_revision_names(story, tmp_path):
    """The proxy's revision tells the environments apart."""
    report = request(story, tmp_path, headers(story, **{"X-Revision": story.commits["two"]}))
    assert only(report)["environment"] == "production"
    assert report.data["request"]["request_id"] == "req-7"
    assert any("request req-7" in note for note in report.notes)


def test_the_date_of_an_answer_is_held_against_the_ledger(story, tmp_path):
    """The bundle served then, or did not."""
    date = "Sat, 16 Jan 2027 12:00:00 GMT"
    report = request(story, tmp_path, headers(story, Date=date), "production")
    assert "answered at 2027-01-16T12:00:00Z; production has wine 2" in report.notes[0]
    late = request(story, tmp_path, headers(story, Date="Mon, 18 Jan 2027 00:00:00 GMT"), "production")
    assert "production has wine 1" in late.notes[0]


def test_headers_that_do_not_fit_together_are_said(story, tmp_path):
    """A version that the bundle has not, a revision that no receipt has."""
    report = request(story, tmp_path, headers(story, **{"X-Model-Version": "9", "X-Revision": "f" * 40}), "production")
    assert any("X-Model-Version 9 is no version of this bundle" in note for note in report.notes)
    assert any(note.startswith("X-Revision fffffffff is of another pass") for note in report.notes)


def test_a_request_comes_from_standard_input_too(story, monkeypatch):
    """A dash, as everywhere."""
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"headers": headers(story)})))
    assert len(asked(story, request="-").data["explanations"]) == 2


def test_a_bundle_that_no_ledger_has_is_an_error(story, tmp_path):
    """The answer came from somewhere else."""
    with pytest.raises(Error, match="no receipt in the ledgers of production, staging"):
        request(story, tmp_path, headers(story) | {"X-Bundle": "000000000000"})


@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ("", {}, "why what"),
        ("", {"bundle": "abcd", "request": "x"}, "cannot be read|two questions"),
        ("", {"request": "no-such-file"}, "cannot be read"),
        ("prod", {}, "no environment 'prod'"),
        ("", {"bundle": "ab"}, "too short"),
    ],
)
def test_a_question_that_is_none_is_asked_back(story, environment, options, said):
    """With a usage error."""
    with pytest.raises(UsageError, match=said):
        asked(story, environment, **options)


# -- sources that do not answer --------------------------------------------------------------------------------------


def problem(report):
    return only(report)["components"]["model:wine"]["run_problem"]


def two(story, **more):
    return asked(story, "production", bundle=story.bundle("2"), **more)


def test_offline_nothing_is_asked_and_that_is_said(story):
    """The ledger is enough for the rest."""
    story.pair.registry.described.clear()
    report = two(story, offline=True)
    assert problem(report) == "not asked (--offline)"
    assert story.pair.registry.described == []
    assert any("GitHub: not asked" in note for note in report.notes)
    assert any("the git host was not asked" in note for note in report.notes)
    assert facts(report)["wine 2: pull request"] == "#12"
    assert report.data["not_asked"]


def test_a_registry_that_is_down_costs_its_own_lines(story, monkeypatch):
    """Everything else is told."""
    monkeypatch.setattr(story.pair.registry, "down", True)
    report = two(story)
    assert "did not answer" in problem(report)
    assert "not known" in facts(report)["wine 2: run"]
    assert facts(report)["wine 2: commit"]


def test_a_version_that_was_deleted_and_a_run_that_is_gone_are_said(story, monkeypatch):
    """Neither is guessed."""
    registry = story.pair.registry
    monkeypatch.setattr(registry, "runs", {})
    assert problem(two(story)) == "run 0a1b2c is gone at http://fake"
    facts_of = {key: value for key, value in registry.facts.items() if key != ("wine", "2")}
    monkeypatch.setattr(registry, "facts", facts_of | {("wine", "2"): replace(registry.facts["wine", "2"], run_id="")})
    assert problem(two(story)) == "wine 2 was registered without a run"
    monkeypatch.setattr(registry, "facts", facts_of)
    assert problem(two(story)) == "wine 2 is not registered at http://fake any more"


def test_a_clone_without_the_branch_names_no_commits(story, tmp_path):
    """The ledger's own revision is what there is."""
    person = story.pair.person()
    shallow = replace(person, branch=replace(person.branch, branch="nowhere"))
    report = why(shallow, "production", WhyOptions(bundle=story.bundle("2")))
    assert any("commits are not named" in note for note in report.notes)
    assert facts(report)["wine 2: commit"].startswith("not found on the tracked branch")


def test_times_in_the_answer_are_those_of_the_ledger(story):
    """To the millisecond in JSON."""
    explanation = only(two(story))
    entry = next(e for e in story.pair.history().verified["wine"] if e.bundle.id == story.bundle("2"))
    assert explanation["receipt"]["at"] == iso(entry.at)
    assert explanation["receipt"]["id"] == entry.event
