"""The forked program of `support/program.py` is what a real start would have been."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support.program import COMMAND, program, typed

VERSION = (Path(__file__).parents[2] / "VERSION").read_text().strip()

WORDS = {
    "help": ["--help"],
    "a verb's help": ["plan", "--help"],
    "no word": [],
    "a word that is none": ["deplo"],
    "what would be made": ["init", "new", "--dry-run"],
    "no repository": ["validate", "--offline"],
    "an error as JSON": ["--output", "json", "status"],
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_it_says_and_ends_as_a_real_start(words, tmp_path):
    """The same bytes on both streams and the same exit code, in the same folder."""
    found = []
    for name in ("real", "fork"):
        folder = tmp_path / name / "x"
        folder.mkdir(parents=True)
        if name == "fork":
            done = program(*words, cwd=folder, environ=dict(os.environ), timeout=60)
        else:
            done = subprocess.run(
                [*COMMAND, *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        texts = [text.replace(str(folder), "FOLDER") for text in (done.stdout, done.stderr)]
        found.append((done.returncode, *texts, sorted(path.name for path in folder.iterdir())))
    assert found[0] == found[1]


def test_its_environment_is_the_one_that_was_given(tmp_path):
    """A variable of an earlier run is not there any more."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n\tname = Eve\n\temail = eve@example.com\n")
    other = {name: value for name, value in os.environ.items() if name != "HOME"} | {"HOME": str(tmp_path / "home")}
    authors = []
    for folder, environ in (("a", other), ("b", dict(os.environ))):
        assert program("init", folder, cwd=tmp_path, environ=environ, timeout=60).returncode == 0
        git = ["git", "log", "-1", "--format=%an"]
        authors.append(subprocess.run(git, cwd=tmp_path / folder, capture_output=True, text=True, check=True).stdout.strip())
    assert authors == ["Eve", "Test"]


def test_a_run_that_takes_too_long_is_killed(tmp_path):
    """The process is gone when the caller hears of it."""
    environ = dict(os.environ)
    assert program("init", "new", cwd=tmp_path, environ=environ, timeout=60).returncode == 0
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(subprocess.TimeoutExpired):
        program("agent", "production", cwd=tmp_path / "new", environ=environ, timeout=1.0)
    end = time.monotonic() + 10
    while {child.pid for child in psutil.Process().children(recursive=True)} - before:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_several_at_once_do_not_mix(tmp_path):
    """Each caller gets its own answer."""

    def ask(word):
        return word, program(word, cwd=tmp_path, environ=dict(os.environ), timeout=60).stderr

    with ThreadPoolExecutor(4) as pool:
        for word, said in pool.map(ask, [f"nonsense-{number}" for number in range(8)]):
            assert word in said


def test_another_encoding_is_a_real_start(tmp_path):
    """What the interpreter reads at its start cannot be changed in a fork."""
    environ = {**os.environ, "PYTHONIOENCODING": "ascii:replace"}
    done = program("--help", cwd=tmp_path, environ=environ, timeout=60)
    assert done.returncode == 0
    assert done.args[0] == sys.executable
    assert done.stdout.isascii()


def test_typed_in_a_shell_it_is_the_same_program(tmp_path):
    """Words, folder, variables and streams are the shell's, pipes included; exit codes come back, also of a real start."""
    variables, forker = typed(tmp_path / "bin")
    environ = os.environ | variables | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def shell(command):
        done = subprocess.run(
            ["bash", "-c", f"{command}\n:"],
            cwd=tmp_path,
            env=environ,
            pass_fds=[forker],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert shell("mlrelease --version | tr . _; exit ${PIPESTATUS[0]}") == (0, f"{VERSION.replace('.', '_')}\n", "")
    assert shell("mkdir a; cd a; mlrelease init b >said; exit $?")[0] == 0
    assert (tmp_path / "a" / "b" / "environments").is_dir()
    code, out, err = shell("mlrelease deplo; exit $?")
    assert (code, out) == (2, "")
    assert "No such command 'deplo'" in err
    assert "_mlrelease_completion" in shell("mlrelease --show-completion bash; exit $?")[1]
