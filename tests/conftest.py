"""Fixtures and options shared by every test: a scrubbed environment, golden updates, a real MLflow server on demand."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest
import structlog

sys.path.insert(0, str(Path(__file__).parent))

# A shell that starts a job in the background has it ignore SIGINT, and children inherit that: a test that sends one would
# find nobody listening.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As on most machines: bytecode is written, and must not be where it does harm.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No test depends on the speed of the machine, nor on luck: other examples come with `--hypothesis-profile search`.
hypothesis.settings.register_profile("mlrelease", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("mlrelease")

_SCRUBBED = ("CI", "NO_COLOR", "FORCE_COLOR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "INVOCATION_ID")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected output of golden cases")


@pytest.fixture(scope="module", autouse=True)
def _environment_as_it_was():
    """A module leaves no variable behind: fixtures of the next module on the same worker would see it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def update_golden(request) -> bool:
    """Whether golden files are to be rewritten instead of compared."""
    return request.config.getoption("--update-golden")


@pytest.fixture(scope="session")
def _homes(tmp_path_factory):
    """The folder of all homes: pytest looks through everything in its own folder for each one that it numbers there."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch, _homes):
    """No variable of the machine or of CI decides what a test sees; HOME is an empty folder with a git identity."""
    for name in list(os.environ):
        if name in _SCRUBBED or name.startswith(("GITHUB_", "MLFLOW_", "GIT_", "MLRELEASE_")):
            monkeypatch.delenv(name)
    home = Path(tempfile.mkdtemp(dir=_homes))
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n[commit]\n\tgpgsign = false\n"
    )
    structlog.contextvars.clear_contextvars()  # a run id of an earlier test
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    yield
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _pauses_are_short(request, monkeypatch):
    """Where nothing listens the calling code tries five times: outside the tests of that, without a second's pause each."""
    if not {"integration", "http", "registries"} & set(request.path.parts):
        from mlrelease.http import retries

        monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.01)


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory):
    """The address of one real MLflow server on SQLite, for the whole session."""
    from support.mlflow_server import running_mlflow

    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri
