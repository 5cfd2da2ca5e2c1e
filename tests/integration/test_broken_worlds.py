"""No traceback, ever: every verb in every broken world that a hostile or unlucky user can make, without a deployment.

Each run must end in time with an exit code of DESIGN §5.4, say first what is wrong and then what to do, show no
credential, and leave nothing behind. `support.broken.run` asserts what holds of all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from support.broken import DEAD_MLFLOW, NOBODY, SECRET, World, run

pytestmark = pytest.mark.slow

VERBS = {
    "validate": ("validate",),
    "validate --offline": ("validate", "--offline"),
    "plan": ("plan", "production"),
    "plan --offline": ("plan", "production", "--offline"),
    "deploy": ("deploy", "production"),
    "reconcile": ("reconcile",),
    "reconcile --check": ("reconcile", "--check"),
    "agent": ("agent",),
    "status": ("status",),
    "history": ("history", "production"),
    "bump": ("bump", "production", "wine", "--to", "1"),
    "rollback": ("rollback", "production"),
    "rollback --now": ("rollback", "production", "--now"),
    "serve": ("serve", "production", "wine"),
    "logs": ("logs", "production", "wine"),
    "predict": ("predict", "production", "wine"),
    "down": ("down", "production"),
}
EXAMPLE_URI = "${MLFLOW_TRACKING_URI:-http://127.0.0.1:5000}"
ALL = tuple(VERBS)
TRACKED = ("deploy", "reconcile", "reconcile --check", "agent", "status", "rollback", "logs", "predict")
"""Verbs that read the tracked branch."""

NAMED = ("plan", "deploy", "history", "bump", "rollback", "serve", "logs", "predict", "down")
"""Verbs that name one environment."""

SOME = ("plan", "history")


@dataclass(frozen=True)
class Case:
    """A world, the verbs tried in it, and how each must end: exit code, words of the first line, words of the hint."""

    sentence: str
    broken: Callable[[World], None]
    verbs: tuple[str, ...]
    code: int
    says: str
    hint: str = ""
    environment: str = "production"


def nothing(_world: World) -> None:
    """Leaves the world as `init` made it."""


def deploy_fails(_world: World) -> None:
    """The same in a copy of its own: `deploy` writes a receipt also where it could not do anything."""


def empty_folder(world: World) -> None:
    _wipe(world)


def no_commits(world: World) -> None:
    _wipe(world)
    world.git("init", "--quiet", "--initial-branch=main")


def bare(world: World) -> None:
    _wipe(world)
    world.git("init", "--quiet", "--bare")


def foreign(world: World) -> None:
    no_commits(world)
    (world.clone / "main.c").write_text("int main(void) { return 0; }\n")
    world.commit(push=False)


def emptied(world: World) -> None:
    world.git("rm", "-r", "--quiet", "environments")
    (world.clone / "environments").mkdir()
    (world.clone / "environments" / ".gitkeep").touch()
    world.commit()


def without_git(world: World) -> None:
    world.more["PATH"] = "/nonexistent"


def folder_is_gone(world: World) -> None:
    _remove(world.clone)


def branch_is_missing(world: World) -> None:
    world.git("config", "mlrelease.branch", "nosuch")


def detached_and_alone(world: World) -> None:
    world.git("checkout", "--quiet", "--detach")
    world.git("config", "--unset", "mlrelease.branch")
    world.git("remote", "remove", "origin")


def dirty(world: World) -> None:
    world.replace(world.model_file, 'version: "1"', 'version: "2"')


def unpushed(world: World) -> None:
    world.commit("not pushed", push=False)


def password_in_the_file(world: World) -> None:
    world.replace(world.environment_file, EXAMPLE_URI, DEAD_MLFLOW)
    world.commit()


def variable_is_not_set(world: World) -> None:
    world.replace(world.environment_file, EXAMPLE_URI, "${MLFLOW_TRACKING_URI}")
    world.commit()
    world.more["MLFLOW_TRACKING_URI"] = None


def model_file_is_binary(world: World) -> None:
    world.model_file.write_bytes(b"\x00\xff\x1b[31m" * 100)
    world.commit()


def environment_file_is_a_link(world: World) -> None:
    world.environment_file.unlink()
    world.environment_file.symlink_to("/etc/passwd")
    world.commit()


def hostile_names(world: World) -> None:
    evil = world.model_file.with_name("\x1b[31mevil\nproduction: all is well\n.yaml")
    evil.write_text("schema: 1\n")
    world.commit("\x1b]0;title\x07 all is well")


def hostile_names_unsaved(world: World) -> None:
    world.model_file.with_name("\x1b[31mevil\nerror: all is well.yaml").write_text("schema: 1\n")


def index_lock_left(world: World) -> None:
    dirty(world)
    world.commit()
    lock = world.clone / ".git" / "index.lock"
    lock.touch()


def ledger_is_garbage(world: World) -> None:
    _ledger(world, "production/events/01ARZ3NDEKTSV4RRFFQ69G5FAV.json", "\x1b[31m{ not json")


def ledger_is_of_another(world: World) -> None:
    _ledger(world, "production/events/notaulid.json", '{"kind": "deploy_finished", "environment": "else"}')


CASES = [
    Case("an empty folder", empty_folder, ALL, 1, "not a git repository: /", "mlrelease init"),
    Case("a folder that is not there", folder_is_gone, ("status", "validate", "deploy"), 2, "no such folder", "-C"),
    Case("git is not on PATH", without_git, ALL, 1, "git is not installed", "install git"),
    Case("a bare repository", bare, ("status", "validate", "deploy"), 1, "without a checkout", "clone"),
    Case("a repository without commits", no_commits, TRACKED, 1, "there is no commit on main", "git commit"),
    Case(
        "a repository without commits or files", no_commits, ("bump", "plan", "down", "history"), 4, "there is no environment"
    ),
    Case(
        "a foreign repository", foreign, ("validate", "validate --offline"), 4, "1 finding in 0 environments", "mlrelease init"
    ),
    Case("a foreign repository", foreign, NAMED, 4, "there is no environment", "validate"),
    Case("a foreign repository", foreign, ("agent", "status", "reconcile"), 1, "there is no environment at main", "validate"),
    Case("an emptied environments folder", emptied, NAMED, 4, "there is no environment", "validate"),
    Case("an emptied environments folder", emptied, ("status", "reconcile"), 1, "there is no environment at origin/main"),
    Case("no such environment", nothing, NAMED, 2, "there is no environment 'staging'", "production", "staging"),
    Case("no such environment", nothing, ("agent", "reconcile", "status"), 2, "'staging'", "production", "staging"),
    Case("an environment with dots", nothing, SOME, 2, "'../..'", "", "../.."),
    Case("an environment with a slash", nothing, SOME, 2, "'/etc/passwd'", "", "/etc/passwd"),
    Case("an empty environment name", nothing, SOME, 2, "''", "", ""),
    Case("an environment with a line break", nothing, SOME, 2, r"a\nproduction: all", "", "a\nproduction: all is well"),
    Case("an environment with terminal escapes", nothing, SOME, 2, r"'\x1b[31m\x9b\x07'", "", "\x1b[31m\x9b\x07"),
    Case("an environment of ten kilobytes", nothing, SOME, 2, "'xxx", "", "x" * 10_000),
    Case("an environment like an option", nothing, SOME, 2, "No such option", "--help", "--nosuch"),
    Case("the tracked branch is missing", branch_is_missing, TRACKED, 1, "couldn't find remote ref", "git ls-remote"),
    Case("detached without a remote", detached_and_alone, TRACKED, 1, "the checkout is detached", "git config"),
    Case("uncommitted edits", dirty, ("deploy",), 1, "wine.yaml has changes that are not committed", "git commit"),
    Case("unpushed commits", unpushed, ("deploy",), 1, "is ahead of origin/main", "git push origin main"),
    Case("a password in a file", password_in_the_file, NAMED[:2] + NAMED[3:], 4, "tracking_uri holds a password", "validate"),
    Case("a password in a file", password_in_the_file, ("status", "agent", "reconcile"), 4, "holds a password", "validate"),
    Case(
        "a password in a file", password_in_the_file, ("validate", "validate --offline"), 4, "1 finding", "MLFLOW_TRACKING_URI"
    ),
    Case("the variable is not set", variable_is_not_set, ("bump", "serve"), 1, "MLFLOW_TRACKING_URI"),
    Case(
        "the variable is not set, and that is found",
        variable_is_not_set,
        ("validate",),
        4,
        "1 finding",
        "export MLFLOW_TRACKING_URI",
    ),
    Case("the variable is not set", variable_is_not_set, ("plan", "deploy"), 1, "production"),
    Case("the variable is not set, files only", variable_is_not_set, ("validate --offline", "history"), 0, ""),
    Case("a model file of zeros and escapes", model_file_is_binary, ("validate", "plan", "status"), 4, ""),
    Case("a link instead of a file", environment_file_is_a_link, ("validate", "plan", "deploy", "status"), 4, ""),
    Case("hostile file names and commits", hostile_names, ("validate --offline", "plan", "deploy", "bump", "status"), 4, ""),
    Case(
        "a hostile file not committed", hostile_names_unsaved, ("deploy",), 1, r"\x1b[31mevil\nerror: all is well", "git commit"
    ),
    Case("no MLflow, nothing deployed", nothing, ("validate",), 1, "gates 4 of 7"),
    Case("no MLflow, nothing deployed", nothing, ("plan",), 1, "gates 2 of 7"),
    Case("no MLflow, nothing deployed", deploy_fails, ("deploy",), 1, "create errored", "next: mlrelease deploy production"),
    Case("no MLflow, nothing deployed", nothing, ("bump", "serve"), 1, "MLflow at http://127.0.0.1:9 did not", "tracking_uri"),
    Case("nothing deployed", nothing, ("logs", "predict"), 1, "production does not run on this host", "mlrelease deploy"),
    Case("nothing deployed", nothing, ("rollback", "rollback --now"), 1, "nothing else was ever verified", "history"),
    Case("nothing deployed", nothing, ("status", "down", "plan --offline", "validate --offline"), 0, ""),
    Case("garbage in the ledger", ledger_is_garbage, ("plan", "deploy", "reconcile", "status"), 1, "does not hold", "backup"),
    Case("garbage in the ledger", ledger_is_garbage, ("history",), 1, "chain BROKEN"),
    Case("a stranger's event in the ledger", ledger_is_of_another, ("plan", "deploy", "history"), 1, "production"),
]


def _cases() -> Iterator[object]:
    for case in CASES:
        for verb in case.verbs:
            yield pytest.param(case, verb, id=f"{case.sentence}, {verb}, ends with {case.code}")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> World:
    """The world that every other is a copy of."""
    return World(tmp_path_factory.mktemp("p") / "w").create()


@pytest.fixture(scope="module")
def worlds(pristine, tmp_path_factory):
    """Gives the world that a function breaks; made once, because verbs that fail leave it as it is."""
    made: dict[Callable[[World], None], World] = {}

    def get(broken: Callable[[World], None]) -> World:
        if broken not in made:
            made[broken] = pristine.copied(tmp_path_factory.mktemp("b") / "w")
            broken(made[broken])
        return made[broken]

    return get


@pytest.mark.parametrize(("case", "verb"), _cases())
def test_says_what_is_wrong_and_leaves_nothing(case, verb, worlds):
    """One line says what is wrong, the next what to do; work tree, refs and processes are as before."""
    world = worlds(case.broken)
    arguments = [case.environment if word == "production" else word for word in VERBS[verb]]
    if case.environment != "production" and "production" not in VERBS[verb]:
        arguments.append(case.environment)
    before = _state(world)
    ran = world.run(*(("-C", str(world.clone)) if case.broken is folder_is_gone else ()), *arguments, cwd=_somewhere(world))
    assert ran.code == case.code, ran.text
    assert case.says in f"{ran.first}\n{ran.out}", ran.text
    assert case.hint in ran.out + ran.err, ran.text
    if ran.code in (1, 2) and not ran.out:
        assert [line[:7] for line in ran.said] == ["error: ", "  try  "], ran.text
        assert len(ran.err) < 5000, "a long name is cut"
    assert _state(world) == before, "a verb that failed changed the repository"
    assert world.leftovers() == []


JSON_CASES = [
    Case("an empty folder", empty_folder, ("status", "deploy", "agent", "serve"), 1, "not a git repository"),
    Case("no such environment", nothing, ("plan", "serve", "bump"), 2, "'staging'", "", "staging"),
    Case("a misspelt option", nothing, ("plan", "agent", "history"), 2, "No such option", "", "--nosuch"),
    Case("a password in a file", password_in_the_file, ("plan", "validate", "status", "reconcile"), 4, ""),
    Case("no MLflow", deploy_fails, ("plan", "deploy", "validate", "bump"), 1, ""),
    Case("a fine repository", nothing, ("status", "history", "down", "validate --offline"), 0, ""),
    Case("garbage in the ledger", ledger_is_garbage, ("history", "plan"), 1, ""),
]


def _json_cases() -> Iterator[object]:
    for case in JSON_CASES:
        for verb in case.verbs:
            yield pytest.param(case, verb, id=f"{case.sentence}, {verb}, is JSON")


@pytest.mark.parametrize(("case", "verb"), _json_cases())
def test_json_whatever_happens(case, verb, worlds):
    """Stdout holds one JSON document with schema, verdict and the exit code, also when nothing could be done."""
    world = worlds(case.broken)
    arguments = [case.environment if word == "production" else word for word in VERBS[verb]]
    if case.environment == "--nosuch" and case.environment not in arguments:
        arguments.append(case.environment)
    ran = world.run("--output", "json", *arguments, cwd=_somewhere(world))
    assert ran.code == case.code, ran.text
    data = ran.json()
    assert case.says in data["verdict"]
    if case.code in (1, 2) and "error" in data:
        assert data["error"]
        assert data["hint"]


@pytest.mark.parametrize(
    "arguments",
    [("nosuch",), ("deploy",), ("--output", "xml", "status"), ("history", "production", "--limit", "0"),
     ("agent", "--interval", "0"), ("agent", "--interval", "nan"), ("agent", "--interval", "-1"),
     ("deploy", "production", "--lock-timeout", "nan"), ("deploy", "production", "--lock-timeout", "inf"),
     ("logs", "production", "wine", "--lines", "many"), ("serve",), ("rollback", "production", "--now", "--no-push"),
     ("rollback", "production", "--to", "1", "--last-good"), ("status", "--\x1b[31m")],
    ids=" ".join,
)  # fmt: skip
def test_a_command_line_that_makes_no_sense(arguments, worlds):
    """Exit code 2: the first line says what is wrong, the second names the help or the way out; JSON where asked for."""
    ran = worlds(nothing).run(*arguments)
    assert ran.code == 2, ran.text
    assert ran.said[0].startswith("error: "), ran.text
    assert ran.out == ""
    machine = worlds(nothing).run("-o", "json", *arguments)
    assert machine.json()["error"]


def test_no_argument_shows_the_help(worlds):
    """Nothing to do is a usage error that shows what there is."""
    ran = worlds(nothing).run()
    assert ran.code == 2
    assert "deploy" in ran.out + ran.err


@pytest.mark.parametrize(
    ("url", "verb"),
    [
        (f"https://bob:{SECRET}-git@127.0.0.1:9/x.git?token={SECRET}", "status"),
        (f"https://bob:{SECRET}-git@127.0.0.1:9/x.git?token={SECRET}", "deploy"),
        (f"https://bob:{SECRET}-git@127.0.0.1:9/x.git?token={SECRET}", "history"),
        (f"ssh://bob:{SECRET}-git@127.0.0.1:9/x.git", "status"),
        (f"ssh://bob:{SECRET}-git@127.0.0.1:9/x.git", "rollback"),
        ("../gone.git", "deploy"),
        ("../gone.git", "plan --offline"),
    ],
    ids=lambda value: value.split("@")[-1].split("?")[0],
)
def test_a_git_host_that_does_not_answer(url, verb, pristine, tmp_path):
    """The last fetched tip holds; the address is shown without credentials, and it is said that the host did not answer."""
    world = pristine.copied(tmp_path / "w")
    world.git("remote", "set-url", "origin", url)
    ran = world.run(*VERBS[verb])
    assert ran.code == (0 if verb in ("status", "history", "plan --offline") else 1), ran.text
    assert verb == "plan --offline" or "did not answer" in ran.out + ran.err or "not reached" in ran.out + ran.err, ran.text
    assert world.leftovers() == []


@pytest.fixture(scope="module")
def html() -> Iterator[str]:
    """The address of a server that answers everything with a page, as a proxy's login does."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<html><title>Login</title>{SECRET}-page\x1b[31m</html>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://bob:{SECRET}-password@127.0.0.1:{server.server_port}/?token={SECRET}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("verb", ["validate", "plan", "deploy", "bump", "serve"])
def test_mlflow_that_answers_a_page(verb, html, pristine, tmp_path):
    """A login page is not an MLflow server: exit code 1, the address without credentials, no line of the page."""
    world = pristine.copied(tmp_path / "w")
    world.more["MLFLOW_TRACKING_URI"] = html
    ran = world.run(*VERBS[verb])
    assert ran.code == 1, ran.text
    assert "http://127.0.0.1:" in ran.out + ran.err, ran.text
    assert "<html>" not in ran.out + ran.err


@pytest.mark.parametrize("verb", ["bump"])
def test_mlflow_that_accepts_and_says_nothing(verb, pristine, tmp_path):
    """A server that never answers is given up in under 15 s."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        world = pristine.copied(tmp_path / "w")
        world.more["MLFLOW_TRACKING_URI"] = f"http://bob:{SECRET}@127.0.0.1:{deaf.getsockname()[1]}"
        ran = world.run(*VERBS[verb])
    assert ran.code == 1, ran.text
    # What a run costs anyway on this machine just now is not the server's.
    anyway = world.run(*VERBS["validate --offline"]).seconds
    assert ran.seconds - anyway < 15.0
    assert "did not answer" in ran.out + ran.err, ran.text


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "variables",
    [{**ASCII, "PYTHONIOENCODING": "ascii"}, {**ASCII, "PYTHONIOENCODING": "latin-1"}, ASCII, {"TERM": "dumb"},
     {"TERM": "", "COLUMNS": "1"}, {"HOME": None}, {"HOME": "/proc/1/nothing"}, {"XDG_CACHE_HOME": "/dev/null/x"},
     {"LANG": "xx_YY.nonsense", "LC_ALL": "xx_YY.nonsense"}, {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/dev/full"},
     {"GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/", "GIT_INDEX_FILE": "/x"}, {"TMPDIR": "/nonexistent"}],
    ids=["ascii", "latin-1", "C locale", "dumb terminal", "one column", "no HOME", "HOME that cannot be", "cache not writable",
         "locale that is not", "job summary on a full disk", "git variables of a hook", "no temporary folder"],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["plan --offline", "status"])
def test_an_environment_that_is_not_as_it_should_be(variables, verb, pristine, tmp_path):
    """The verbs answer as everywhere else: only what MLflow would have said is missing."""
    world = pristine.copied(tmp_path / "w")
    world.replace(world.model_file, "schema: 1", "schema: 1  # → ünïcode")
    world.commit("→ ünïcode")
    world.more |= variables
    ran = world.run(*VERBS[verb])
    assert ran.code == 0, ran.text
    if verb == "status" and {"HOME", "XDG_CACHE_HOME", "TMPDIR"} & set(variables):
        ran = world.run(*VERBS["bump"])
        assert ran.code == 1, ran.text
        assert "MLflow at http://127.0.0.1:9 did not answer" in ran.first, ran.text


def test_no_git_identity(pristine, tmp_path):
    """`init` without an identity says so and leaves nothing, so that it works the second time."""
    world = pristine.copied(tmp_path / "w")
    world.more |= dict.fromkeys(
        ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"), None
    ) | {"GIT_CONFIG_NOSYSTEM": "1"}
    assert world.run("history", "production").code == 0, "reading needs no identity"
    for folder in ("new", "home/empty"):
        (world.root / "home/empty").mkdir(exist_ok=True)
        ran = world.run("init", folder, cwd=world.root)
        assert (ran.code, ran.said[0]) == (1, "error: git does not know who commits"), ran.text
        assert "git config" in ran.said[1]
    assert not (world.root / "new").exists()
    assert list((world.root / "home/empty").iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "options", "code", "says"),
    [
        ("lap", (), 2, "exists: nothing was written"),
        ("file", (), 1, "cannot be written"),
        ("/proc/nothing", (), 1, "cannot be written"),
        ("new", ("--remote", f"https://bob:{SECRET}@127.0.0.1:9/x.git"), 1, "could not push to origin"),
        ("new", ("--remote", "../nosuch.git"), 1, "could not push to origin"),
        ("new", ("--remote", "../o.git"), 1, "origin refused the push"),
    ],
    ids=["over another", "over a file", "where nobody writes", "a dead remote", "no remote there", "a remote with a history"],
)
def test_init_that_cannot(folder, options, code, says, pristine, tmp_path):
    """Nothing is left of an `init` that failed: no folder, no half repository."""
    world = pristine.copied(tmp_path / "w")
    (world.root / "file").touch()
    before = _state(world)
    ran = world.run("init", folder, *options, cwd=world.root)
    assert ran.code == code, ran.text
    assert says in ran.said[0], ran.text
    assert ran.said[1].startswith("  try  "), ran.text
    assert not (world.root / "new").exists()
    assert _state(world) == before


def test_a_shallow_clone(pristine, tmp_path):
    """History that is not here is no obstacle to looking."""
    world = pristine.copied(tmp_path / "w")
    world.commit("second")
    world.git("clone", "--quiet", "--depth", "1", f"file://{world.root}/o.git", "shallow", cwd=world.root)
    for verb, code in (("status", 0), ("plan --offline", 0), ("validate --offline", 0), ("deploy", 1), ("rollback", 1)):
        ran = world.run(*VERBS[verb], cwd=world.root / "shallow")
        assert ran.code == code, ran.text


def test_files_that_this_user_may_not_read(pristine, tmp_path):
    """An unreadable pin, an unreadable folder, an unreadable repository and somebody else's are said in one line each."""
    world = pristine.copied(tmp_path / "w")
    world.model_file.chmod(0)
    for verb in ("validate --offline", "plan", "bump"):
        ran = world.run(*VERBS[verb], powerless=True)
        assert ran.code == 4, ran.text
        assert "cannot be read" in ran.out + ran.err, ran.text
    world.model_file.parent.chmod(0)
    assert world.run(*VERBS["validate --offline"], powerless=True).code == 4
    world.model_file.parent.chmod(0o755)
    world.model_file.chmod(0o644)
    (world.clone / ".git").chmod(0)
    ran = world.run("status", powerless=True)
    assert (ran.code, [line[:7] for line in ran.told]) == (1, ["error: ", "  try  "]), ran.text
    (world.clone / ".git").chmod(0o755)
    if os.geteuid() == 0:
        os.chown(world.clone, NOBODY, NOBODY)
        ran = world.run("status")
        assert (ran.code, "belongs to another user" in ran.first) == (1, True), ran.text
        assert "safe.directory" in ran.told[1]


@pytest.mark.parametrize("verb", ["deploy", "status", "plan", "agent", "down"])
def test_a_state_folder_that_this_user_may_not_use(verb, pristine, tmp_path):
    """A state folder of somebody else: exit code 1, which folder, and what to look at."""
    world = pristine.copied(tmp_path / "w")
    world.state.mkdir()
    (world.state / "spool").mkdir()
    (world.state / "instances").mkdir()
    world.state.chmod(0)
    try:
        ran = world.run(*VERBS[verb], powerless=True)
    finally:
        world.state.chmod(0o700)
    assert ran.code == 1, ran.text
    assert str(world.state) in ran.text.replace("lap/../", ""), ran.text
    assert [line[:7] for line in ran.told] == ["error: ", "  try  "], ran.text


@pytest.mark.parametrize(
    "redirect", ["| head -1", "2>&1 | head -1", ">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", "<&-"]
)
@pytest.mark.parametrize("arguments", ["plan production --offline", "-o json status", "--help", "status nosuch"], ids=str)
def test_nobody_reads(arguments, redirect, worlds):
    """A closed pipe, closed streams and a full disk behind stdout end without a word too many."""
    world = worlds(nothing)
    command = f"{sys.executable} -m mlrelease.cli {arguments} {redirect}; echo code ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=world.clone, env=world.environ(), capture_output=True, text=True, timeout=20, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    expected = {"code 2"} if "nosuch" in arguments else {"code 1"} if redirect == ">/dev/full" else {"code 0"}
    if arguments == "--help" and "head" in redirect:
        expected |= {"code 1"}  # click itself answers a pipe that breaks while it writes
    assert done.stdout.splitlines()[-1] in expected, done


@pytest.mark.parametrize("name", ["pydantic", "requests", "rich", "fastapi"])
def test_a_package_that_is_missing(name, worlds, tmp_path):
    """One line names the package and what installs it; only `-v` shows where."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {name!r} or name.startswith({name + '.'!r}):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    world = worlds(nothing)
    environ = world.environ() | {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    arguments = ("serve", "--model-path", str(tmp_path)) if name == "fastapi" else VERBS["plan"]
    ran = run(*arguments, cwd=world.clone, environ=environ)
    assert ran.code == 1, ran.text
    assert f"this needs the package {name}" in ran.told[0], ran.text
    assert "pip install 'mlrelease[" in ran.told[1], ran.text
    loud = run("-v", *arguments, cwd=world.clone, environ=environ)
    assert "Traceback" in loud.err


@pytest.mark.parametrize("verb", ["status", "deploy", "bump"])
def test_verbose_shows_where(verb, worlds):
    """`-v` adds the traceback below the line that everybody gets, still without credentials."""
    world = worlds(empty_folder)
    ran = world.run("-v", *VERBS[verb], cwd=_somewhere(world))
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert ran.said[0].startswith("error: not a git repository")


def _somewhere(world: World) -> Path:
    return world.clone if world.clone.is_dir() else world.root


def _state(world: World) -> tuple[str, ...]:
    """Work tree, commits and branches of the repository, as git tells them; empty where there is no repository."""
    if not (world.clone / ".git").exists():
        return ()
    told = []
    for words in (("status", "--porcelain"), ("for-each-ref", "refs/heads/main"), ("stash", "list")):
        done = subprocess.run(["git", *words], cwd=world.clone, capture_output=True, text=True, check=False)
        told.append(done.stdout)
    return tuple(told)


def _wipe(world: World) -> None:
    _remove(world.clone)
    world.clone.mkdir()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def _ledger(world: World, name: str, content: str) -> None:
    """Puts a file into the ledger branch of the remote, as somebody with push rights can."""
    folder = world.root / "vandal"
    world.git("clone", "--quiet", str(world.root / "o.git"), str(folder), cwd=world.root)
    world.git("checkout", "--quiet", "--orphan", "mlrelease/ledger", cwd=folder)
    world.git("rm", "-r", "--quiet", "--force", ".", cwd=folder)
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(content)
    world.git("add", "-A", cwd=folder)
    world.git("commit", "--quiet", "-m", "vandalism", cwd=folder)
    world.git("push", "--quiet", "origin", "mlrelease/ledger", cwd=folder)
    _remove(folder)
