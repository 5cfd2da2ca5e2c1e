"""`validate --pr`: check, annotations and comment on the pull request's head; over the local GitHub and real clones.

MLflow is a closed port or left out by `--offline`; the gates themselves with a real one: tests/integration/test_gates.py.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from mlrelease.commands.pr_report import validate_pull_request
from mlrelease.commands.workspace import open_workspace
from mlrelease.errors import Error, UsageError
from mlrelease.model.event import Held
from support.github_server import running_github
from support.hosted import BASE, hosted
from support.pair import identity
from support.world import World, git

pytestmark = pytest.mark.xdist_group("validate_pr")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 runs; MLflow does not answer."""
    with identity():
        world = World(tmp_path_factory.mktemp("made") / "w").create()
        world.run()
        world.pin("wine", "2")
        path = world.laptop / "environments/production/environment.yaml"
        path.write_text(path.read_text().replace("http://127.0.0.1:5000", "http://127.0.0.1:9"))
        world.commit("A port that nobody listens on")
        return world


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with identity(), running_github(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def here(made, hub, tmp_path):
    return hosted(made.copy(tmp_path / "w"), hub, f"acme/{tmp_path.name.replace('_', '-')}")


def proposed(here, text=None, path=BASE, branch="feature"):
    """A pull request with that text in a file (by default: version 2 pinned), checked out in `pr`; its number."""
    if text is None:
        pin = here.pair.pin("wine", "2")
        old = here.file("main", path)
        text = old.replace('"1"', '"2"').replace(here.pair.pin("wine", "1").digest, pin.digest) + "\n"
    git(here.bare, "update-ref", f"refs/heads/{branch}", "main")
    here.commit_on(branch, path, text, "A change")
    number = here.hub.open_pull(here.name, head=branch)
    checkout(here, number)
    return number


def checkout(here, number):
    """What a workflow does: a clone with the head commit, as data."""
    folder = here.pair.root / "pr"
    shutil.rmtree(folder, ignore_errors=True)
    git(here.pair.root, "clone", "--quiet", str(here.bare), "pr")
    git(folder, "fetch", "--quiet", "origin", f"refs/pull/{number}/head")
    git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")


def say(here, number, *, offline=True, token="", **variables):
    workspace = open_workspace(str(here.pair.root / "pr"), run_id="test")
    known = {**here.hub.environment_variables(here.name, token=token), **variables}
    return validate_pull_request(replace(workspace, variables=known), number, offline=offline)


def runs(here, name="validate/offline"):
    return [run for run in here.state.check_runs if run["name"] == name]


def comments(here, number):
    return [comment["body"] for comment in here.state.comments_on(number)]


def test_a_good_one_is_green(here):
    """The check on the head commit, one comment that says what merging would change, exit code 0."""
    number = proposed(here)
    report = say(here, number)
    (run,) = runs(here)
    assert report.exit_code == 0
    assert (run["status"], run["conclusion"], run["head_sha"]) == ("completed", "success", here.at("feature"))
    (comment,) = comments(here, number)
    assert comment.startswith(f"<!-- mlrelease:validate:offline:{number} -->\n### validate/offline: 0 findings in ")
    assert "| production | wine | update | wine 1 (" in comment
    assert "#### Findings" not in comment
    assert report.data["pull_request"]["commit"] == here.at("feature")
    assert any(note.startswith("validate/offline on ") and ": success" in note for note in report.notes)


def test_findings_are_annotations(here):
    """Red; each at its file and line, with the rule as its title; the exit code is that of the findings."""
    text = here.file("main").replace("digest: sha256:", "digest: md5:")
    number = proposed(here, text)
    report = say(here, number)
    (run,) = runs(here)
    assert (report.exit_code, run["conclusion"]) == (4, "failure")
    (note,) = here.state.annotations(run["id"])
    line = next(n for n, one in enumerate(text.splitlines(), 1) if one.startswith("digest:"))
    assert (note["path"], note["start_line"], note["annotation_level"]) == (BASE, line, "failure")
    assert "digest" in note["title"]
    assert "docs: docs/rules.md#" in note["message"]
    assert "#### Findings" in comments(here, number)[0]


def test_the_comment_sticks(here):
    """The next push changes the one that is there; the same commit again writes nothing."""
    number = proposed(here)
    say(here, number)
    (first,) = comments(here, number)
    assert "is as it was" in " ".join(say(here, number).notes)
    here.commit_on("feature", BASE, here.file("feature").replace("digest: sha256:", "digest: md5:"))
    checkout(here, number)
    say(here, number)
    (second,) = comments(here, number)
    assert "#### Findings" in second
    assert first != second
    assert len(runs(here)) == 2, "one for each commit"


def test_a_push_meanwhile_is_refused(here):
    """The checkout is not the head any more: nothing is said, the newer commit has its own run."""
    number = proposed(here)
    here.commit_on("feature", "README.md", "hello\n")
    with pytest.raises(Error, match=f"#{number} is at ") as raised:
        say(here, number)
    assert f"pull/{number}/head" in raised.value.hint
    assert runs(here) == []
    assert comments(here, number) == []


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [(99, Error, "there is no pull request #99"), (0, UsageError, "0 is no pull request's number")],
    ids=["one that is not there", "no number"],
)
def test_a_number_that_names_none(here, number, error, said):
    """Said before anything is looked at."""
    proposed(here)
    with pytest.raises(error, match=said):
        say(here, number)


def test_another_one_s_number_is_refused(here):
    """A check of one pull request is not written on another."""
    first = proposed(here)
    git(here.bare, "update-ref", "refs/heads/other", "main")
    here.commit_on("other", "README.md", "hello\n")
    other = here.hub.open_pull(here.name, head="other")
    with pytest.raises(Error, match=f"#{other} is at "):
        say(here, other)
    assert comments(here, first) == comments(here, other) == []


def test_a_checkout_with_other_files_is_refused(here):
    """What is judged must be what is in the commit."""
    number = proposed(here)
    (here.pair.root / "pr" / BASE).write_text("nonsense: [\n")
    with pytest.raises(Error, match="is not as in"):
        say(here, number)
    assert runs(here) == []


def test_what_cannot_be_asked_is_an_error_on_the_check(here):
    """MLflow is down: exit code 1, the check is not green, the gates say so."""
    number = proposed(here)
    report = say(here, number, offline=False)
    (run,) = runs(here, "validate/online")
    assert (report.exit_code, run["conclusion"]) == (1, "failure")
    levels = {note["annotation_level"] for note in here.state.annotations(run["id"])}
    assert levels == {"warning"}
    (comment,) = comments(here, number)
    assert "| production | wine | 2 | exists | errored |" in comment
    assert "wine in production: compared with 1, which is recorded there" in comment


def test_a_gate_is_annotated_where_the_version_stands(here):
    """The line of the version that it judged."""
    number = proposed(here)
    say(here, number, offline=False)
    (run,) = runs(here, "validate/online")
    line = next(n for n, one in enumerate(here.file("feature").splitlines(), 1) if one.startswith("version:"))
    notes = here.state.annotations(run["id"])
    assert {(note["path"], note["start_line"]) for note in notes} == {(BASE, line)}
    assert "gate exists errored" in {note["title"] for note in notes}


def test_a_look_that_cannot_be_finished_is_said_on_the_check(here):
    """The ledger does not hold together: the check says so and does not stay pending."""
    number = proposed(here)
    folder = here.pair.root / "breaker"
    git(here.pair.root, "clone", "--quiet", str(here.bare), "breaker")
    git(folder, "checkout", "--quiet", "--detach", "origin/mlrelease/ledger")
    first = min((folder / "production/events").iterdir())
    git(folder, "rm", "--quiet", str(first))
    git(folder, "commit", "--quiet", "-m", "lost")
    git(folder, "push", "--quiet", "origin", "HEAD:refs/heads/mlrelease/ledger")
    with pytest.raises(Error, match="does not hold together"):
        say(here, number, offline=False)
    (run,) = runs(here, "validate/online")
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert "does not hold together" in run["output"]["summary"]


def test_what_merging_would_change_is_what_a_pass_would_do(here):
    """Asked online, the ledger says the direction: back to what was verified here is a rollback."""
    here.pin_on_main("wine", "2")
    git(here.pair.laptop, "pull", "--quiet")
    here.pair.run()
    old = here.file("main")
    pin = here.pair.pin("wine", "1")
    number = proposed(here, old.replace('"2"', '"1"').replace(here.pair.pin("wine", "2").digest, pin.digest) + "\n")
    say(here, number, offline=False)
    (comment,) = comments(here, number)
    assert "| production | wine | rollback | wine 2 (" in comment
    assert "git moved back to what was verified here before" in comment


def test_a_change_of_the_environment_itself_is_said(here):
    """It concerns every service."""
    path = "environments/production/environment.yaml"
    number = proposed(here, here.file("main", path).replace("keep_warm: 10m", "keep_warm: 20m") + "\n", path)
    say(here, number)
    assert "| production | every service | settings |" in comments(here, number)[0]


def test_a_change_of_nothing_that_runs_is_said(here):
    """A README is no deploy."""
    number = proposed(here, "hello\n", "README.md")
    say(here, number)
    assert "Nothing of what runs." in comments(here, number)[0]


def test_thousands_of_findings_fit(here):
    """500 annotations at 50 a call, the rest counted; the comment within GitHub's limit, with a visible mark."""
    number = proposed(here)
    folder = here.pair.root / "pr"
    for n in range(1, 701):
        (folder / f"environments/production/models/m{n}.yaml").write_text("service: x\nservice: y\n")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "Many")
    git(folder, "push", "--quiet", "origin", "HEAD:refs/heads/feature")
    report = say(here, number)
    found = len(report.data["findings"])
    assert found >= 700
    (run,) = runs(here)
    assert len(here.state.annotations(run["id"])) == 500
    assert f"500 of {found} annotations" in run["output"]["summary"]
    (comment,) = comments(here, number)
    assert len(comment) <= 65_000
    assert "more: the check's annotations and the log have them.**" in comment
    assert "#### What merging would change" in comment


def test_the_run_is_linked_from_the_check(here):
    """In a workflow the log is one click away."""
    number = proposed(here)
    say(here, number, GITHUB_RUN_ID="77")
    (run,) = runs(here)
    assert run["details_url"].endswith(f"/{here.name}/actions/runs/77")
    assert f"([the run]({run['details_url']}))" in comments(here, number)[0]


def test_a_token_that_may_not_comment_loses_only_the_comment(here):
    """The check has it all; the note says what is missing."""
    number = proposed(here)
    here.hub.fault(f"* /repos/{here.name}/issues/{number}/comments", 403, forever=True)
    report = say(here, number)
    assert report.exit_code == 0
    assert any(f"the comment on #{number} could not be written" in note for note in report.notes)
    assert runs(here)[0]["conclusion"] == "success"


def test_a_token_that_may_not_write_checks_leaves_a_status(here):
    """A personal token: a commit status of the same name."""
    number = proposed(here)
    report = say(here, number, token=here.hub.token)
    assert report.exit_code == 0
    assert runs(here) == []
    newest = here.state.statuses[-1]
    assert (newest["context"], newest["state"]) == ("validate/offline", "success")


def test_offline_asks_neither_mlflow_nor_the_ledger(here):
    """GitHub alone is spoken to: the same words without a ledger to be read."""
    number = proposed(here)
    folder = here.pair.root / "pr"
    say(here, number)
    assert git(folder, "for-each-ref", "refs/mlrelease") == ""


EVIL = "@acme/all <img src=x> ![p](https://evil.example) ##[error]x"


def test_names_from_the_pull_request_do_nothing(here, capfd, monkeypatch):
    """A file name and a value with mentions, HTML, images, ANSI and commands to the runner: shown, inert, everywhere."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    git(here.bare, "update-ref", "refs/heads/feature", "main")
    path = "environments/production/models/@acme ::set-output name=x::y\x1b[31m <b>.yaml"
    here.commit_on("feature", path, f'service: "{EVIL}"\n', "Names")
    number = here.hub.open_pull(here.name, head="feature")
    checkout(here, number)
    report = say(here, number)
    from mlrelease.commands.output import emit

    emit(report, output="table")
    assert report.exit_code == 4
    (run,) = runs(here)
    (comment,) = comments(here, number)
    for text in (comment, run["output"]["summary"]):
        for sign in ("@acme", "<img", "<b>", "](https", "\x1b"):
            assert sign not in text
    for note in here.state.annotations(run["id"]):
        assert not {"\x1b", "\n"} & set(note["path"] + note["title"])
        assert "\x1b" not in note["message"]
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    commands = [line for line in (out + err).splitlines() if line.lstrip().startswith("::")]
    assert all(line.startswith("::error file=") for line in commands)
    assert not any("##[" in line for line in (out + err).splitlines() if not line.startswith("::error "))


SERVICES = "environments/production/services"
OTHER = "schema: 1\nservice: port\n\nimage: ghcr.io/acme/serve:0.1.0@sha256:{image}\n"


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "online"])
def test_a_new_service_is_a_birth_and_an_absent_one_an_end(here, offline):
    """Both are told by what a pass would do; offline by the files alone, and it says that."""
    git(here.bare, "update-ref", "refs/heads/feature", "main")
    path = f"{SERVICES}/wine.yaml"
    here.commit_on(
        "feature", path, here.file("main", path).replace("replicas: 2", "replicas: 2\nstate: absent") + "\n", "End it"
    )
    here.commit_on("feature", f"{SERVICES}/port.yaml", OTHER.format(image="ab12" * 16), "Begin it")
    model = here.file("main").replace("service: wine", "service: port").replace("model: wine", "model: port") + "\n"
    here.commit_on("feature", BASE.replace("wine", "port"), model, "Its model")
    number = here.hub.open_pull(here.name, head="feature")
    checkout(here, number)
    say(here, number, offline=offline)
    (comment,) = comments(here, number)
    assert "| production | port | create | nothing | port 1 (" in comment
    assert "| production | wine | remove | wine 1 (" in comment
    assert ("not compared with what runs" in comment) == offline


def test_what_waits_is_said_before_it_is_merged(here):
    """A hold stands in the way: the reader learns it now."""
    event = Held(here.pair.ids(), "production", 1.0, "grace", "quarter end", "wine")
    here.pair.site().ledger.append([event])
    number = proposed(here)
    say(here, number, offline=False)
    assert "held by grace: quarter end" in comments(here, number)[0]


def test_a_service_that_the_pull_request_leaves_alone_is_not_told(here):
    """Version 2 is merged and waits to be deployed; the pull request changes the settings of the environment only."""
    here.pin_on_main("wine", "2")
    git(here.pair.laptop, "pull", "--quiet")
    number = proposed(here, "hello\n", "README.md")
    say(here, number, offline=False)
    assert "Nothing of what runs." in comments(here, number)[0]


def test_without_the_commit_that_it_began_at_nothing_is_guessed(here):
    """A clone of one commit has no merge base: it says so."""
    number = proposed(here)
    folder = here.pair.root / "pr"
    shutil.rmtree(folder)
    git(here.pair.root, "clone", "--quiet", "--depth=1", f"file://{here.bare}", "pr")
    git(folder, "fetch", "--quiet", "--depth=1", "origin", f"refs/pull/{number}/head")
    git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    say(here, number)
    assert "Not known: this clone does not have the commit" in comments(here, number)[0]


def test_outside_of_github_it_says_what_to_set(here):
    """No repository, no token: the message names the variables, nothing was looked at."""
    number = proposed(here)
    workspace = open_workspace(str(here.pair.root / "pr"), run_id="test")
    with pytest.raises(Error, match="not on GitHub") as raised:
        validate_pull_request(replace(workspace, variables={}), number, offline=True)
    assert "MLRELEASE_GITHUB_REPOSITORY" in raised.value.hint


def test_a_token_that_may_nothing_is_an_error(here):
    """Neither check nor status: the exit code must not say that all is well."""
    number = proposed(here)
    token = here.hub.make_token("reader", kind="actions", permissions={"contents": "read", "pull_requests": "read"})
    with pytest.raises(Error):
        say(here, number, token=token)
    assert comments(here, number) == []


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(here):
    """A stranger wrote it first: ours is another one."""
    number = proposed(here)
    here.hub.comment(here.name, number, "stranger", f"<!-- mlrelease:validate:offline:{number} -->\nall green, trust me")
    say(here, number)
    theirs, ours = comments(here, number)
    assert theirs.endswith("trust me")
    assert "### validate/offline: " in ours
