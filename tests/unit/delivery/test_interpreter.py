"""The interpreter that a service names: asked before anything is started with it, and refused with the way out."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest
from mlrelease.delivery.interpreter import check_interpreter
from mlrelease.errors import Error


def script(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_interpreter_of_this_program_will_do():
    """What runs the tests can run the reference server."""
    check_interpreter(sys.executable)


def test_an_interpreter_without_the_parts_names_them_and_the_command(tmp_path):
    """A bare environment is refused with what is missing and how to install it there."""
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(Error, match=r"has no mlrelease.serving, mlflow.pyfunc, fastapi, uvicorn") as refused:
        check_interpreter(str(python))
    assert refused.value.hint == f"{python} -m pip install 'mlrelease[serve]'"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: "bin/python", "not an absolute path: bin/python"),
        (lambda folder: f"{folder}/none", "not there or cannot be run"),
        (str, "not there or cannot be run"),
        (lambda folder: str(script(folder / "text", "no program")), "does not answer as an interpreter: .*OSError"),
        (lambda folder: str(script(folder / "fails", "#!/bin/sh\nexit 3\n")), "CalledProcessError"),
        (lambda folder: str(script(folder / "talks", "#!/bin/sh\necho hello\n")), "JSONDecodeError"),
        (lambda folder: str(script(folder / "list", "#!/bin/sh\necho '[]'\n")), "TypeError"),
        (
            lambda folder: str(script(folder / "old", '#!/bin/sh\necho \'{"missing": [], "version": [3, 9]}\'\n')),
            "is Python 3.9, and 3.11 is the oldest",
        ),
    ],
    ids=[
        "a relative path",
        "a file that is not there",
        "a folder",
        "a file that is no program",
        "a program that fails",
        "a program that says something else",
        "a program that says JSON of another kind",
        "a Python that is too old",
    ],
)
def test_what_is_no_interpreter_is_refused(make, message, tmp_path):
    """Each is an error of the host's, said before anything is started."""
    with pytest.raises(Error, match=message):
        check_interpreter(make(tmp_path))


def test_an_interpreter_that_hangs_is_given_up(tmp_path, monkeypatch):
    """The question has a deadline."""
    monkeypatch.setattr("mlrelease.delivery.interpreter.DEADLINES_S", {"interpreter.look": 0.2})
    with pytest.raises(Error, match="TimeoutExpired"):
        check_interpreter(str(script(tmp_path / "hangs", "#!/bin/sh\nexec sleep 60\n")))
