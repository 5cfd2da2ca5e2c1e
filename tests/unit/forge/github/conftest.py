"""One local GitHub for a module; each test has a repository of its own on it."""

from __future__ import annotations

import pytest
from mlrelease.http import retries as policy
from support.github_desk import desk
from support.github_server import running_github


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The local GitHub."""
    with running_github(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults_left(request):
    """A fault that a test did not meet is not the next one's. A test that asks for no GitHub starts none."""
    hub = request.getfixturevalue("hub") if "hub" in request.fixturenames else None
    yield
    if hub is not None:
        hub.faults.clear()


@pytest.fixture
def at(hub):
    """A fresh repository and a client with a workflow's token."""
    return desk(hub)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """The same retry policy with a tenth of the waits."""
    monkeypatch.setattr(policy, "FIRST_WAIT_S", 0.02)
