"""The program between supervisor and what it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlrelease.targets.local import launch


def run(path):
    command = [sys.executable, "-I", "-S", launch.__file__, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_it_becomes_the_program_with_exactly_this_environment(tmp_path):
    """Odd characters in arguments and values arrive as they are, and nothing else is inherited."""
    code = "import os, sys, json; print(json.dumps([sys.argv[1:], os.environ['A'], 'PATH' in os.environ]))"
    odd = "a b'\"%; #\n$HOME"
    file = tmp_path / "x.run"
    file.write_text(json.dumps({"argv": [sys.executable, "-c", code, odd], "env": {"A": odd}}))
    assert json.loads(run(file).stdout) == [[odd], odd, False]


def test_what_cannot_be_run_is_one_line(tmp_path):
    """A missing program or file ends with 1 and says which, without a traceback."""
    file = tmp_path / "x.run"
    file.write_text(json.dumps({"argv": ["/nonexistent/program"], "env": {}}))
    for path in (file, Path(tmp_path / "missing.run")):
        done = run(path)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        ('{"argv": [], "env": {}}', "IndexError"),
        ('{"argv": ["/bin/true"], "env": {"A": 1}}', "TypeError"),
        ('{"argv": ["/bin/true"]}', "KeyError"),
        ('{"argv": ["/bin/true", "a\\u0000b"], "env": {"SECRET": "hunter2"}}', "ValueError"),
    ],
    ids=["half a file", "a list", "nothing in it", "no program", "a number", "no environment", "a zero in an argument"],
)
def test_a_damaged_file_is_one_line_without_what_is_in_it(tmp_path, text, kind):
    """The environment may hold a secret, and the line goes into the log of the instance."""
    file = tmp_path / "x.run"
    file.write_text(text)
    with pytest.raises(SystemExit) as caught:
        launch.main(str(file))
    said = str(caught.value.code)
    assert said.startswith(f"{file}: cannot be run: {kind}: ")
    assert "\n" not in said
    assert "hunter2" not in said
