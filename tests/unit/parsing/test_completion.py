"""What a press of the Tab key offers: names from the work tree, in the shells' own protocols and in a real bash."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DEADLINE_S = 60.0
"""For one answer of a shell; it takes a third of a second on a quiet machine."""

HOSTILE = "$(touch pwned)"
"""A file's name that a shell must never get to see."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two environments with different services and models, and things beside them that are no names."""
    root = tmp_path_factory.mktemp("r")
    for environment, services, models in (
        ("production", ("scores", "wine"), ("credit-risk", "credit-scoring", "wine")),
        ("staging", ("trial", "wine"), ("wine", "wine-next")),
    ):
        base = root / "environments" / environment
        (base / "services").mkdir(parents=True)
        (base / "models").mkdir()
        (base / "environment.yaml").write_text("schema: 1\n")
        for name in services:
            (base / "services" / f"{name}.yaml").write_text("schema: 1\n")
        for name in models:
            (base / "models" / f"{name}.yaml").write_text("schema: 1\n")
    production = root / "environments" / "production"
    (production / "models" / "notes.txt").write_text("no model")
    (production / "models" / f"{HOSTILE}.yaml").write_text("schema: 1\n")
    (production / "models" / "folder.yaml").mkdir()
    (production / "models" / "linked.yaml").symlink_to(production / "models" / "wine.yaml")
    (root / "environments" / "README.md").write_text("no environment")
    (root / "environments" / HOSTILE.replace("/", "")).mkdir()
    (root / "environments" / "elsewhere").symlink_to("/tmp")
    (root / "deep" / "er").mkdir(parents=True)
    return root


@pytest.fixture
def program(line, monkeypatch):
    """What the program tells a shell that asks from this folder."""

    def run(cwd, **variables):
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            for name, value in variables.items():
                patch.setenv(name, value)
            said = line()
        assert (said.code, said.err) == (0, "")
        return said.out

    return run


@pytest.fixture
def asked(program):
    """What bash would offer for a line whose last word is being typed."""

    def run(typed, cwd):
        # bash drops what is empty but for the word being typed
        told = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "_MLRELEASE_COMPLETE": "complete_bash"}
        return program(cwd, **told).split()

    return run


LINES = [
    ("a verb", "mlrelease rec", ["reconcile"]),
    ("the environment of a pass", "mlrelease deploy pro", ["production"]),
    ("every environment where nothing is typed yet", "mlrelease plan ", ["production", "staging"]),
    ("only environments that are not named yet", "mlrelease status production ", ["staging"]),
    ("the source of a promotion", "mlrelease promote st", ["staging"]),
    ("the destination of a promotion", "mlrelease promote staging p", ["production"]),
    ("the services of that environment", "mlrelease logs production ", ["scores", "wine"]),
    ("the services of the other environment", "mlrelease logs staging ", ["trial", "wine"]),
    ("a service by option", "mlrelease rollback staging --service t", ["trial"]),
    ("a service by its short option", "mlrelease deploy production -s s", ["scores"]),
    ("a second service, without the first", "mlrelease plan production -s wine -s ", ["scores"]),
    ("the services of a promotion's source", "mlrelease promote staging production -s ", ["trial", "wine"]),
    ("the models of that environment", "mlrelease bump production credit", ["credit-risk", "credit-scoring"]),
    ("a second model, without the first", "mlrelease bump production credit-risk credit-", ["credit-scoring"]),
    ("a model by option", "mlrelease rollback staging --model wine-", ["wine-next"]),
    ("the model of a rejection", "mlrelease reject production credit-r", ["credit-risk"]),
    ("the service that is served", "mlrelease serve staging tr", ["trial"]),
    ("the environment to copy", "mlrelease new environment x --like s", ["staging"]),
    ("an option", "mlrelease rollback production --last", ["--last-good"]),
    ("nothing for a version", "mlrelease bump production wine --to ", []),
    ("nothing for what is not there", "mlrelease plan x", []),
    ("nothing in an environment that is not there", "mlrelease logs nowhere ", []),
    ("nothing outside the folder of environments", "mlrelease logs ../deep ", []),
]


@pytest.mark.parametrize(("typed", "offered"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_a_line_is_completed_by_name(repository, asked, typed, offered):
    """The names that fit there, in order, and nothing else."""
    assert asked(typed, repository) == offered


def test_every_name_comes_from_the_files(repository, asked):
    """A file that is no pin, a link, a folder and a name with a command in it are not offered."""
    assert asked("mlrelease bump production ", repository) == ["credit-risk", "credit-scoring", "wine"]
    assert not list(repository.rglob("pwned"))


def test_it_works_below_the_top_and_for_another_repository(repository, asked, tmp_path):
    """The folder of environments is found above the current one, or above the one that -C names."""
    assert asked("mlrelease logs staging t", repository / "deep" / "er") == ["trial"]
    assert asked(f"mlrelease -C {repository} logs staging t", tmp_path) == ["trial"]


def test_without_a_repository_nothing_is_offered(asked, tmp_path):
    """No error text comes between the prompt and what is being typed."""
    assert asked("mlrelease plan ", tmp_path) == []


def test_an_unreadable_folder_offers_nothing(asked, tmp_path):
    """A file where the folder of services should be is for `validate` to say."""
    (tmp_path / "environments" / "production").mkdir(parents=True)
    (tmp_path / "environments" / "production" / "services").write_text("a file")
    assert asked("mlrelease logs production ", tmp_path) == []


def test_zsh_is_asked_in_its_own_words(repository, program):
    """Zsh evaluates what it gets: names in quotes."""
    variables = {"_MLRELEASE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "mlrelease logs production "}
    assert program(repository, **variables).strip() == '_arguments \'*: :(("scores"\n"wine"))\''


def test_fish_is_asked_in_its_own_words(repository, program):
    """Fish gets one name a line."""
    variables = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "mlrelease plan "}
    assert program(repository, _MLRELEASE_COMPLETE="complete_fish", **variables).split() == ["production", "staging"]


SHOWN = """
import json, os, sys
os.environ |= {"COMP_WORDS": "mlrelease logs production w", "COMP_CWORD": "3", "_MLRELEASE_COMPLETE": "complete_bash"}
sys.argv = ["mlrelease"]
from mlrelease.cli import main
try:
    main()
except SystemExit:
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


def test_nothing_heavy_is_imported(repository):
    """A shell waits for it at each press: 0.2 seconds, of which Python and the parser are nearly all."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], cwd=repository, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout.split() == ["wine"]
    loaded = set(json.loads(done.stderr))
    # typer itself brings pydantic for what stands before the word, as it does for every verb
    heavy = {"requests", "jwt", "yaml", "mlflow", "rich", "jinja2", "structlog", "mlrelease.spec"}
    assert loaded & heavy == set()
    assert not {name for name in loaded if name.startswith(("mlrelease.commands", "mlrelease.delivery", "mlrelease.spec"))}


class Terminal:
    """An interactive shell on a pseudo-terminal, with a keyboard that presses Tab."""

    def __init__(self, command: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(command[0], command, environment)  # noqa: S606 - it is the shell itself
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def shows(self, text: str) -> None:
        """Reads until the text is on the screen."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.seen!r}"
            self.seen += os.read(self.fd, 4096).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(repository, tmp_path):
    """Starts shells, and ends them."""
    started = []

    def start(*command: str) -> Terminal:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed on this machine")
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        told = {**os.environ, "PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "PS1": "ready> ", "INPUTRC": "/dev/null"}
        started.append(Terminal(list(command), repository, told))
        return started[-1]

    yield start
    for one in started:
        one.close()


SHELLS = [
    ("bash", (), ".bash_completions/mlrelease.sh"),
    ("zsh", ("-f",), ".zfunc/_mlrelease"),
    ("fish", ("--no-config",), ".config/fish/completions/mlrelease.fish"),
]


@pytest.mark.parametrize(("shell", "options", "place"), SHELLS, ids=[case[0] for case in SHELLS])
def test_it_is_shown_and_installed_for_the_shell_that_asks(terminal, tmp_path, shell, options, place):
    """Both options know by which shell they are called; the installed file is the shown text."""
    screen = terminal(shell, *options)
    screen.type("mlrelease --show-completion > shown.txt; mv shown.txt ~; mlrelease --install-completion; echo do''ne\n")
    screen.shows("completion installed in")
    screen.shows("done")
    assert (tmp_path / "shown.txt").read_text().strip() == (tmp_path / place).read_text().strip()


def test_tab_in_bash(terminal):
    """A real press of the key in a real bash, after the line that the page names."""
    screen = terminal("bash", "--norc", "--noprofile", "-i")
    screen.shows("ready> ")
    # In two words, so that the echo of the command is not taken for its output.
    screen.type('eval "$(mlrelease --show-completion)"; echo load""ed\n')
    screen.shows("loaded")
    screen.type("echo mlrelease\x01")  # to the front of the line and back: the first word is the program's
    screen.type("\x0b")
    screen.type("mlrelease logs prod\t")
    screen.shows("production ")
    screen.type("sc\t")
    screen.shows("scores ")


def test_the_page_names_what_there_is():
    """The page of verbs says how to switch it on, by the options that exist."""
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text().split("\n## ")[0]
    assert set(re.findall(r"--\w+-completion", page)) == {"--install-completion", "--show-completion"}


NAMES = {"environment", "environments", "source", "destination", "service", "services", "model", "models"}
ELSEWHERE = {("import", "model"), ("demo", "directory")}
"""What is named there lies in MLflow and not in the work tree: nothing that a shell could wait for."""


def parameters():
    """Every verb's arguments and options: verb, parameter."""
    import typer
    from mlrelease.cli import app

    for verb, command in typer.main.get_command(app).commands.items():
        for part in getattr(command, "commands", {"": command}).values():
            yield from ((verb, parameter) for parameter in part.params)


def test_no_verb_forgets_it():
    """An argument or option of one of these names completes by name, in every verb."""
    named = [(verb, p.name) for verb, p in parameters() if p.name in NAMES]
    assert len(named) > 30
    forgotten = [
        (verb, p.name)
        for verb, p in parameters()
        if p.name in NAMES and (verb, p.name) not in ELSEWHERE and not p._custom_shell_complete
    ]
    assert forgotten == []
