"""What an instance is started with: the server, its interpreter, its configuration."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.instances import SERVER, Instances
from support.local_target import launch


class Supervisor:
    """Remembers the programs that it was given, and says that they run."""

    generation = 1

    def __init__(self) -> None:
        self.programs = []

    def add(self, programs) -> None:
        self.programs += programs

    def processes(self):
        return {p.name: type("Process", (), {"pid": 4194304, "final": False})() for p in self.programs}


@pytest.fixture
def supervisor():
    return Supervisor()


@pytest.fixture
def instances(tmp_path, supervisor):
    layout = Layout(tmp_path)
    layout.make()
    return Instances(layout, supervisor, SERVER, lambda: 0.0, "run")


@pytest.mark.parametrize(
    ("python", "expected"),
    [("", sys.executable), ("/opt/own/bin/python", "/opt/own/bin/python")],
    ids=["without one it is that of this program", "the one that the service names"],
)
def test_the_interpreter_of_an_instance(instances, supervisor, python, expected):
    """Only the interpreter differs: orphans are told by the rest of the command line."""
    (record,) = instances.add(replace(launch(), python=python), 1)
    (program,) = supervisor.programs
    assert program.argv == [expected, "-m", "mlrelease.serving", record.config]


def test_the_server_finds_out_itself_what_it_runs_on(instances):
    """The target does not guess what another interpreter has installed."""
    (record,) = instances.add(launch(), 1)
    assert json.loads(Path(record.config).read_text())["runtime"] == ""


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"replicas": 9}, True),
        ({"python": "/opt/own/bin/python"}, False),
        ({"env": (("A", "1"),)}, False),
    ],
    ids=[
        "the same settings fit",
        "more replicas leave the others alone",
        "another interpreter starts anew",
        "another variable starts anew",
    ],
)
def test_which_instances_still_fit(instances, change, same):
    """What was started with other settings than now wanted is started anew."""
    wanted = launch(replicas=2)
    assert (instances.launch_hash(replace(wanted, **change)) == instances.launch_hash(wanted)) is same
