"""An emptied folder pruned production.

Empty or unreadable desired state is an error; removing needs `state: absent`, and more than one removal `--allow-remove`.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.errors import Error
from mlrelease.model.change import ChangeKind, Outcome
from support.world import World, git

ALSO = (
    "tests/unit/plan/test_stories.py::test_an_emptied_folder_removes_nothing",
    "tests/unit/plan/test_stories.py::test_two_removals_at_once_are_blocked",
)


@pytest.fixture
def three(tmp_path):
    """Three services, deployed."""
    world = World(tmp_path / "w", services=("a", "b", "c")).create()
    assert exit_code(world.run()) == 0
    return world


def absent(world, *services):
    for name in services:
        path = world.service_file(name)
        path.write_text(path.read_text() + "\nstate: absent\n")
    world.commit(f"Remove {', '.join(services)}")


@pytest.mark.parametrize(
    "paths",
    [
        ["environments/production/services/b.yaml", "environments/production/models/b.yaml"],
        ["environments/production/services", "environments/production/models"],
    ],
    ids=["one service's files", "every file of the environment but its own"],
)
def test_row_04_deleted_files_remove_nothing(three, paths):
    """What git no longer names keeps running; the pass says so and does not exit 0."""
    git(three.laptop, "rm", "-r", "--quiet", *paths)
    three.commit("Tidy up")
    three.target.calls.clear()
    try:
        code = exit_code(three.run())
    except Error:
        code = 1
    assert code != 0
    assert three.live() == {"a": "1", "b": "1", "c": "1"}
    assert not [call for call in three.target.calls if call[0] in ("stop", "route")]


def test_row_04_a_deleted_environment_folder_removes_nothing(three):
    """With the whole folder gone there is no such environment to reconcile, and nothing is touched."""
    git(three.laptop, "rm", "-r", "--quiet", "environments/production")
    three.commit("Tidy up")
    assert "production" not in three.desired().spec.environments
    assert three.live() == {"a": "1", "b": "1", "c": "1"}


def test_row_04_one_removal_is_done_as_written(three):
    """`state: absent` on one service takes away that one."""
    absent(three, "b")
    result = three.run()
    assert {name: (r.change, r.outcome) for name, r in result.receipts.items()} == {"b": (ChangeKind.REMOVE, Outcome.SUCCEEDED)}
    assert three.live() == {"a": "1", "c": "1"}


def test_row_04_two_removals_wait_for_a_person(three):
    """Two at once are blocked until somebody says `--allow-remove`; then both go."""
    absent(three, "a", "b")
    result = three.run()
    assert exit_code(result) == 5
    assert {c.service: c.blocked_by for c in result.plan.changes} == {"a": "removals", "b": "removals", "c": ""}
    assert three.live() == {"a": "1", "b": "1", "c": "1"}
    assert exit_code(three.run(removals_allowed=True)) == 0
    assert three.live() == {"c": "1"}


def test_row_04_an_environment_made_absent_counts_each_service(three):
    """`state: absent` on the environment is three removals, not one."""
    path = three.laptop / "environments" / "production" / "environment.yaml"
    path.write_text(path.read_text() + "state: absent\n")
    three.commit("Remove all")
    result = three.run()
    assert exit_code(result) == 5
    assert "3 services would be removed at once" in result.plan.changes[0].blocked
    assert len(three.live()) == 3
