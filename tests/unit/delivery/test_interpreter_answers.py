"""What a program says when it is asked whether it can serve: each answer is one sentence, and never a traceback."""

from __future__ import annotations

import json

import pytest
from mlrelease.delivery.interpreter import check_interpreter
from mlrelease.errors import Error


@pytest.fixture
def python(tmp_path):
    """Makes a program that prints this and ends so."""

    def make(said, code=0):
        path = tmp_path / "python"
        (tmp_path / "said").write_text(said if isinstance(said, str) else json.dumps(said))
        path.write_text(f"#!/bin/sh\ncat {tmp_path}/said\nexit {code}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_one_that_has_everything_will_do(python):
    """Nothing is said, nothing is raised; the oldest that serves is old enough."""
    check_interpreter(python({"missing": [], "version": [3, 11]}))
    check_interpreter(python({"missing": [], "version": [4, 0]}))


@pytest.mark.parametrize("version", [[3, 10], [2, 7], [3, 9]])
def test_one_that_is_too_old_says_how_old(python, version):
    """Whatever else it has or lacks."""
    path = python({"missing": ["fastapi"], "version": version})
    with pytest.raises(Error) as caught:
        check_interpreter(path)
    assert caught.value.message == (
        f"runtime.python is Python {version[0]}.{version[1]}, and 3.11 is the oldest that serves: {path}"
    )


def test_one_that_lacks_parts_names_all_of_them_and_the_command(python):
    """So that one installation is enough."""
    path = python({"missing": ["fastapi", "uvloop"], "version": [3, 12]})
    with pytest.raises(Error) as caught:
        check_interpreter(path)
    assert caught.value.message == f"runtime.python cannot run the reference server: {path} has no fastapi, uvloop"
    assert caught.value.hint == f"{path} -m pip install 'mlrelease[serve]'"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("", "JSONDecodeError"),
        ("Python 3.11.7", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("null", "TypeError"),
        ({}, "KeyError"),
        ({"missing": [], "version": "3.11"}, "ValueError"),
        ({"missing": [], "version": []}, "ValueError"),
        ({"missing": [], "version": ["three", "eleven"]}, "ValueError"),
        ({"missing": [], "version": None}, "TypeError"),
        ({"missing": None, "version": [3, 11]}, "TypeError"),
    ],
    ids=str,
)
def test_a_program_that_answers_otherwise_is_no_interpreter(python, said, kind):
    """A wrapper that prints a banner, another program: said with the command to try."""
    path = python(said)
    with pytest.raises(Error) as caught:
        check_interpreter(path)
    assert caught.value.message == f"runtime.python does not answer as an interpreter: {path} ({kind})"
    assert caught.value.hint == f"try it: {path} --version"


def test_a_program_that_fails_is_no_interpreter(python):
    """Even if what it printed looks right."""
    with pytest.raises(Error, match="CalledProcessError"):
        check_interpreter(python({"missing": [], "version": [3, 11]}, code=1))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("python3", "runtime.python is not an absolute path: python3"),
        ("./venv/bin/python", "runtime.python is not an absolute path: ./venv/bin/python"),
        ("", "runtime.python is not an absolute path: "),
        ("/nowhere/python", "runtime.python is not there or cannot be run: /nowhere/python"),
        ("/usr", "runtime.python is not there or cannot be run: /usr"),
        ("/etc/passwd", "runtime.python is not there or cannot be run: /etc/passwd"),
    ],
)
def test_what_is_not_run_at_all(path, message):
    """A relative one would mean another program wherever it is run from."""
    with pytest.raises(Error) as caught:
        check_interpreter(path)
    assert caught.value.message == message
    assert caught.value.hint
