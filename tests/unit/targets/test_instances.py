"""What an instance is started with: the server, its interpreter, its configuration."""

from __future__ import annotations

import json
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlrelease.serving.config import read_config
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.instances import SERVER, Instances
from mlrelease.targets.local.look import Ground
from mlrelease.targets.local.state import Record, read_records, write_record
from mlrelease.targets.local.supervisor import scrubbed_environment
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


def test_the_files_of_a_new_instance_are_there_before_it_is_started(tmp_path, supervisor):
    """Record, configuration, program: whatever happens then, nothing runs that is not known."""
    seen = []
    add = supervisor.add
    layout = Layout(tmp_path)

    def looking(programs):
        seen.extend((read_records(layout)[p.name].pid, read_config(Path(p.argv[-1])).instance) for p in programs)
        add(programs)

    supervisor.add = looking
    layout.make()
    started = Instances(layout, supervisor, SERVER, lambda: 7.0, "run-1").add(launch("credit-risk", "3"), 2)
    assert seen == [(0, record.id) for record in started]
    assert read_records(layout) == {record.id: record for record in started}


def test_what_an_instance_is_started_with(tmp_path, instances, supervisor):
    """Its own socket, its bundle, its models, and one thread each unless the service says otherwise."""
    wanted = replace(launch("credit-risk", "3"), env=(("OMP_NUM_THREADS", "4"), ("SECRET", "x")))
    (record,) = instances.add(wanted, 1)
    assert re.fullmatch(rf"credit-risk-{wanted.bundle.id[:6]}-[0-9a-f]{{4}}", record.id)
    config = read_config(Path(record.config))
    assert (config.service, config.bundle, config.image) == ("credit-risk", wanted.bundle.id, wanted.bundle.image.reference)
    assert (config.listen, config.models, config.run_id, config.drain_s) == (
        f"unix:{record.socket}", wanted.artifacts, "run", 30.0,
    )  # fmt: skip
    assert Path(record.socket).parent == tmp_path / "s"
    (program,) = supervisor.programs
    assert (program.name, program.log, program.keep_on, program.joined) == (record.id, f"{record.id}.log", False, True)
    extra = {k: v for k, v in program.env.items() if k not in scrubbed_environment()}
    assert extra == {
        "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "SECRET": "x",
    }  # fmt: skip
    assert (record.service, record.bundle, record.generation, record.launch) == (
        "credit-risk", wanted.bundle.id, 1, instances.launch_hash(wanted),
    )  # fmt: skip


def test_no_new_instance_is_no_program(instances, supervisor):
    """Everything that is wanted runs already."""
    assert instances.add(launch(), 0) == []
    assert supervisor.programs == []


def test_an_instance_that_ended_at_once_is_noted_without_a_process(tmp_path, instances, supervisor):
    """It is final: nobody waits for a pid that never comes."""
    supervisor.processes = lambda: {p.name: SimpleNamespace(pid=0, final=True) for p in supervisor.programs}
    (record,) = instances.add(launch(), 1)
    assert (record.pid, record.process_started) == (0, 0.0)


@pytest.mark.parametrize(
    ("processes", "told"),
    [({"risk-abc-1": None}, [("stop", "risk-abc-1"), ("discard", "risk-abc-1")]), ({}, []), (None, [])],
    ids=["supervisor knows it", "supervisor does not", "no supervisor"],
)
def test_burying_an_instance_leaves_nothing_but_its_log(tmp_path, instances, supervisor, processes, told):
    """Its program is taken from supervisor if it is there."""
    said = []
    supervisor.stop = lambda name: said.append(("stop", name))
    supervisor.discard = lambda name: said.append(("discard", name))
    layout = Layout(tmp_path)
    record = Record("risk-abc-1", "risk", "abc", str(tmp_path / "s" / "x"), "", "", 1, 0.0)
    write_record(layout, record)
    for path in (layout.configs / "risk-abc-1.json", layout.configs / "risk-abc-1.run", Path(record.socket)):
        path.write_text("")
    instances.bury(record, Ground(1, processes, ()))
    assert said == told
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda w: replace(w, env=(("B", "2"), ("A", "1"))), True),
        (lambda w: replace(w, env=(("A", "2"), ("B", "1"))), False),
        (lambda w: replace(w, artifacts=tuple(replace(a, version="2") for a in w.artifacts)), False),
        (lambda w: replace(w, artifacts=tuple(replace(a, path=Path("/elsewhere")) for a in w.artifacts)), False),
        (
            lambda w: replace(w, artifacts=tuple(replace(a, golden={"payload": {}}) for a in w.artifacts)),
            False,
        ),
        (lambda w: replace(w, artifacts=tuple(replace(a, golden_rtol=0.5) for a in w.artifacts)), False),
        (lambda w: replace(w, bundle=replace(w.bundle, service="other")), True),
    ],
    ids=[
        "variables in another order",
        "values exchanged",
        "another version",
        "another folder",
        "golden predictions since then",
        "another tolerance",
        "the service is compared for itself",
    ],
)
def test_which_settings_are_the_same(instances, change, same):
    """All that the server would do otherwise counts, and nothing else."""
    wanted = replace(launch(), env=(("A", "1"), ("B", "2")))
    assert (instances.launch_hash(change(wanted)) == instances.launch_hash(wanted)) is same


def test_the_hash_of_settings_does_not_give_a_short_secret_away(tmp_path, instances, supervisor):
    """It is shown: with another salt the same settings look otherwise, and the salt is private."""
    hashed = instances.launch_hash(launch())
    assert re.fullmatch(r"[0-9a-f]{12}", hashed)
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    other = Layout(tmp_path / "other")
    other.make()
    assert Instances(other, supervisor, SERVER, lambda: 0.0, "run").launch_hash(launch()) != hashed
