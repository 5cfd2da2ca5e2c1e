"""What `validate` online knows beyond the files: the ledger's services and the variables of this machine."""

from __future__ import annotations

import shutil

import pytest
from mlrelease.commands.online import online_spec
from mlrelease.commands.validate import validate
from support.desk import desk
from support.world import World


@pytest.fixture
def world(tmp_path):
    """Two services, deployed."""
    world = World(tmp_path / "w", services=("a", "b")).create()
    world.run()
    return world


def found(world):
    """Rule, path and service of each finding in the laptop's work tree."""
    return [(f.rule, f.path, f.service) for f in online_spec(desk(world)).findings]


def test_files_and_ledger_agree(world):
    """What was deployed and is there has no finding."""
    assert found(world) == []


def test_a_deleted_service_is_found(world):
    """Its model goes too; the ledger still has it running."""
    world.service_file("b").unlink()
    world.model_file("b").unlink()
    assert found(world) == [("undeclared", "environments/production/services/b.yaml", "b")]


def test_a_deleted_folder_is_found(world):
    """An emptied repository is said twice: there is nothing to release to, and something runs."""
    shutil.rmtree(world.laptop / "environments")
    assert found(world) == [("no-environments", "environments", ""), ("undeclared", "environments/production", "")]


def test_an_unset_variable_is_found_and_its_environment_left_out(world):
    """The finding has a place; `validate` ends with 4 and does not ask a server that it cannot name."""
    path = world.laptop / "environments" / "production" / "environment.yaml"
    path.write_text(path.read_text().replace("http://127.0.0.1:5000", "${NOT_SET_ANYWHERE}"))
    assert found(world) == [("variable-unset", "environments/production/environment.yaml", "")]
    report = validate(desk(world), offline=False)
    assert (report.exit_code, report.data["gates"]) == (4, [])
    assert [(f["line"], f["column"]) for f in report.data["findings"]] == [(3, 15)]
