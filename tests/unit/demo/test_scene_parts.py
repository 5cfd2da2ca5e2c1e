"""What the chapters are told with: git's and the ledger's word, the agent's log, identities, examples, and their absence."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading

import pytest
from mlrelease.demo.crew import Crew, sweep
from mlrelease.demo.models.__main__ import wait_for
from mlrelease.demo.place import Place, environment, has_identity, make_place
from mlrelease.demo.scene import Scene
from mlrelease.demo.steps import Runner
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error
from mlrelease.model.when import iso

DIGEST = "sha256:" + "ab" * 32


COMMIT = "0123456789abcdef"


def ledger(*told):
    """A kind of scene whose ledger says this, and whose laptop is at `COMMIT`."""

    class Told(Scene):
        def head(self):
            return COMMIT

        def events(self, environment):
            return list(told)

    return Told


def made(kind, place):
    variables = environment(place, columns=96)
    teller = Teller(100, styled=False)
    return kind(place, teller, Runner(teller, variables), Crew(place, variables))


@pytest.fixture
def place():
    """A place of its own, removed with what runs in it."""
    place = make_place("")
    yield place
    sweep(place)
    place.remove()


@pytest.fixture
def scene(place):
    """A scene whose laptop is a git repository of two commits."""
    scene = made(Scene, place)
    place.laptop.mkdir()
    scene.quiet("git", "init", "--quiet", ".")
    for name in ("a", "b"):
        (place.laptop / name).write_text(name)
        scene.quiet("git", "add", name)
        scene.quiet("git", "commit", "--quiet", "-m", name)
    return scene


def test_commits_are_gits_own_word(scene):
    """The one that the laptop is at, and the newest that changed a file."""
    log = scene.quiet("git", "log", "--format=%H").split()
    assert (scene.head(), scene.commit_of("b"), scene.commit_of("a")) == (log[0], log[0], log[1])
    assert scene.commit_of("nothing") == ""


def test_a_quiet_command_that_fails_is_an_error_with_its_last_words(scene):
    """As it was typed, with its exit code; what it wrote to stderr, not to stdout."""
    with pytest.raises(Error) as raised:
        scene.quiet("sh", "-c", "echo noise; echo out of wine >&2; exit 7")
    assert raised.value.message == "`sh -c echo noise; echo out of wine >&2; exit 7` ended with 7: out of wine"


def finished(version, revision, change="rollback", at=110.0):
    models = [{"name": "wine", "version": version}]
    return {
        "kind": "deploy_finished",
        "at": iso(at),
        "started_at": iso(at - 5),
        "finished_at": iso(at),
        "revision": revision,
        "services": {"wine": {"outcome": "succeeded", "change": change, "after": {"models": models}}},
    }


def test_a_rollback_is_timed_from_what_was_done_to_its_proof(place, capsys):
    """Said to the hundredth, kept to the millisecond."""
    scene = made(ledger(finished("2", "other", "update", 90.0), finished("1", COMMIT)), place)
    scene.rolled_back("staging", "wine", "wine", "1", since=("git push", 107.7654))
    assert scene.rollbacks == {"staging/wine": 2.235}
    assert capsys.readouterr().out == "\nFrom `git push` to version 1 proved on every instance: 2.23 seconds.\n"


@pytest.mark.parametrize(
    "told",
    [(), (finished("1", "another"),), (finished("2", COMMIT),), (finished("1", COMMIT, "update"),)],
    ids=["nothing was proved", "at another commit", "another version", "no rollback"],
)
def test_a_rollback_that_the_ledger_does_not_know_is_an_error(place, told):
    """The story does not say what is not so; the agent's log is where to look."""
    scene = made(ledger(*told), place)
    with pytest.raises(Error) as raised:
        scene.rolled_back("staging", "wine", "wine", "1", since=("git push", 100.0))
    assert raised.value.message == "no proof of wine 1 in staging at 012345678"
    assert raised.value.where == str(place.logs / "agent.log")
    assert scene.rollbacks == {}


def test_the_agent_is_followed_to_the_commit_and_shown_from_where_it_was(place, capsys):
    """Line by line, each once; a quiet look leaves the lines for the next."""
    scene = made(ledger(), place)
    said = "starting\nstaging at 012345678: in sync\nproduction at 012345678: in sync\nhalf a li"
    scene.crew.start("agent", ["sh", "-c", f"printf '{said}'; exec sleep 600"], cwd=place.root)
    scene.follow_agent("staging", quiet=True)
    assert capsys.readouterr().out == ""
    scene.follow_agent("production")
    assert capsys.readouterr().out.splitlines() == [f"    {line}" for line in said.splitlines()[:3]]


def test_an_agent_that_ends_before_it_speaks_ends_the_story(place):
    """What it said of another commit, or of another environment, is not what is waited for."""
    scene = made(ledger(), place)
    scene.crew.start(
        "agent", ["sh", "-c", "echo staging at 999999999: in sync; echo production at 012345678: x"], cwd=place.root
    )
    scene.crew.started["agent"].wait(20)
    with pytest.raises(Error, match="the process `agent` ended with 0: production at 012345678: x"):
        scene.follow_agent("staging")


class Service(http.server.BaseHTTPRequestHandler):
    """Answers with what its server has to say, once for each status."""

    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = self.server.says[min(len(self.server.asked), len(self.server.says)) - 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def service():
    """A server in a thread."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.asked, server.says = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def test_a_service_is_asked_through_the_proxy_who_it_is(tmp_path, service):
    """Its models with their versions, whatever else it says."""
    models = [{"name": "wine", "version": "2", "digest": "x"}, {"name": "port", "version": "9"}]
    service.says = [(200, json.dumps({"service": "fleet", "models": models}).encode())]
    place = Place(tmp_path, {"staging": f"127.0.0.1:{service.server_port}"}, 0, made=True)
    teller = Teller(100, styled=False)
    scene = Scene(place, teller, Runner(teller, {}), Crew(place, {}))
    assert scene.identity("staging", "fleet") == {"wine": "2", "port": "9"}
    assert service.asked == ["/fleet/identity"]


def test_mlflow_is_waited_for_until_it_lets_clients_in(service):
    """A health check would be answered before that; an error is no answer."""
    service.says = [(403, b""), (503, b""), (200, b"{}")]
    wait_for(f"http://127.0.0.1:{service.server_port}")
    assert service.asked == ["/api/2.0/mlflow/experiments/get?experiment_id=0"] * 3


def test_a_request_is_the_first_row_of_the_pinned_versions_own_example(tmp_path):
    """Found by the digest in the model's file, wherever the agent keeps it."""
    place = Place(tmp_path, {}, 0, made=True)
    file = place.laptop / "environments/staging/models/wine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f'schema: 1\n# digest: none\nversion: "2"\ndigest: {DIGEST}\n')
    rows = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]], "index": [0, 1]}}
    for entry, content in ((DIGEST[7:], rows), ("cd" * 32, {"dataframe_split": {"columns": [], "data": []}})):
        folder = tmp_path / "staging" / "cache" / entry
        folder.mkdir(parents=True)
        (folder / "serving_input_example.json").write_text(json.dumps(content))
    teller = Teller(100, styled=False)
    scene = Scene(place, teller, Runner(teller, {}), Crew(place, {}))
    assert scene._example("staging", "wine") == {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}


def test_what_the_clients_saw_so_far_is_read_while_it_is_written(tmp_path):
    """A line that is only half there does not count yet."""
    place = Place(tmp_path, {}, 0, made=True)
    teller = Teller(100, styled=False)
    scene = Scene(place, teller, Runner(teller, {}), Crew(place, {}))
    place.logs.mkdir()
    line = json.dumps({"due": 1.0, "start": 1.0, "end": 1.5, "status": 200, "version": "1", "name": "staging/wine"})
    place.answers("staging").write_text(f"{line}\n{line}\n{line[:20]}")
    assert (scene.load("staging").sent, scene.load("production").sent) == (2, 0)


def test_an_interrupted_step_is_kept_with_the_exit_code_of_an_interrupt(tmp_path, capsys):
    """The report has it, and the interrupt goes on to whoever waits for it."""
    teller = Teller(80, styled=False)

    class Interrupting(Teller):
        def output(self, line):
            super().output(line)
            raise KeyboardInterrupt

    runner = Runner(Interrupting(teller.width, styled=False), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(KeyboardInterrupt):
        runner.run("long", ["sh", "-c", "echo here; exec sleep 600"], cwd=tmp_path)
    (step,) = runner.steps
    assert (step.name, step.command, step.exit, step.expected_exit) == ("long", "sh -c echo here; exec sleep 600", 130, 0)
    assert "    here\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "prompt"),
    [("laptop", "laptop$"), ("host", "host$"), ("elsewhere", "demo$")],
    ids=["a clone", "the other", "none"],
)
def test_a_command_stands_behind_the_folder_that_it_is_typed_in(tmp_path, capsys, folder, prompt):
    """Folders that only we know are called the demo."""
    (tmp_path / folder).mkdir()
    runner = Runner(Teller(80, styled=False), {"PATH": "/usr/bin:/bin"})
    assert runner.run("echo", ["echo", "hi"], cwd=tmp_path / folder) == ["hi"]
    assert capsys.readouterr().out == f"{prompt} echo hi\n    hi\n"


def test_git_knows_no_hooks_and_no_signatures_of_the_person(place, tmp_path):
    """A hook or a signing key in somebody's settings has no place in a story that tells itself."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    variables = environment(place, columns=96) | {"HOME": str(tmp_path)}
    (tmp_path / ".gitconfig").write_text(
        f"[user]\n\tname = A\n\temail = a@b\n[core]\n\thooksPath = {hooks}\n"
        "[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n"
    )
    git = ["git", "-C", str(place.root)]
    for arguments in (["init", "--quiet", "."], ["commit", "--quiet", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *arguments], env=variables, check=True, timeout=20)


def test_a_name_that_only_the_repository_around_us_has_does_not_count(place, tmp_path, monkeypatch):
    """The demo's clones do not have it: there a commit would fail for want of a name."""
    around = tmp_path / "repository"
    around.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(around)
    for arguments in (["init", "--quiet", "."], ["config", "user.name", "A"], ["config", "user.email", "a@b"]):
        subprocess.run(["git", *arguments], check=True, timeout=20)
    variables = environment(place, columns=96)
    assert (variables["GIT_AUTHOR_NAME"], variables["GIT_COMMITTER_EMAIL"]) == ("Demo", "demo@example.com")


def test_without_git_there_is_no_demo(place):
    """Said at once, with the command that helps."""
    with pytest.raises(Error) as raised:
        has_identity({"PATH": str(place.root)})
    assert (raised.value.message, raised.value.hint) == ("the demo needs git", "install it, for example: apt-get install git")
