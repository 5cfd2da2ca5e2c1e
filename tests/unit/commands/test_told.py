"""What `status`, `history`, `plan`, `reconcile --check` and `deploy` say in each state of the world, whole and word for word.

`tests/golden/told/<story>/<verb>.txt`; `--update-golden` rewrites them, the diff is the review.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlrelease.commands.deploy import DeployOptions, deploy, reconcile
from mlrelease.commands.history import history
from mlrelease.commands.plan import plan
from mlrelease.commands.status import status
from mlrelease.commands.words import Named, hold, reject
from support.desk import FIXED, desk, told
from support.world import World, git

GOLDEN = Path(__file__).parents[2] / "golden" / "told"


class Killed(BaseException):
    """Ends a pass as SIGKILL would."""


def _killed_at(world, step):
    def kill(mark):
        if mark.name == step:
            raise Killed

    with pytest.raises(Killed):
        world.run(listener=kill)


def fresh(world):
    """Pinned, pushed, nothing deployed."""


def settled(world):
    """Version 1 deployed."""
    world.run()


def ahead(world):
    """Version 2 is pinned and waits to be deployed."""
    world.run()
    world.bump("wine", "2")


def kept_warm(world):
    """Version 2 serves, version 1 is warm."""
    ahead(world)
    world.run()


def rolled_back(world):
    """Version 2 failed after the switch; git still wants it."""
    ahead(world)
    world.target.wrong_through_proxy.add(world.desired().spec.environments["production"].services["wine"].bundle.id)
    world.run()


def reverted(world):
    """A person went back from version 2."""
    world.run()
    bump = world.bump("wine", "2")
    world.run()
    world.revert(bump)
    world.run()


def pinned_again(world):
    """Version 2 is pinned again after a person went back from it."""
    reverted(world)
    world.bump("wine", "2")


def held(world):
    """Forward changes of the environment are held; one waits."""
    world.run()
    hold(desk(world), "production", service="", reason="quarter's end", until=world.clock + 3600)
    world.bump("wine", "2")


def rejected_by_a_person(world):
    """Version 1, which runs, was rejected by a person."""
    world.run()
    reject(desk(world), "production", Named(model="wine", version="1"), reason="trained on the wrong year")


def lost_an_instance(world):
    """One of two instances is gone."""
    world.run()
    world.target.instances.pop("wine-2")


def lost_everything(world):
    """Nothing runs any more, and no route is left."""
    world.run()
    world.target.down()


def edited_by_hand(world):
    """Somebody changed what the target itself is made of."""
    world.run()
    world.target.problems = ("listener: edited by hand",)


def registry_down(world):
    """A forward change, and nobody to ask."""
    ahead(world)
    world.registry.down = True


def tampered(world):
    """A forward change whose artifacts were overwritten."""
    ahead(world)
    world.registry.add("wine", "2", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})


def deleted_version(world):
    """A forward change to a version that does not exist any more."""
    ahead(world)
    world.registry.delete("wine", "2")


def more_replicas(world):
    """Only a setting changed."""
    world.run()
    path = world.service_file("wine")
    path.write_text(path.read_text().replace("replicas: 2", "replicas: 3"))
    world.commit("One more")


def another_image(world):
    """The image moves, the model stays."""
    world.run()
    path = world.service_file("wine")
    path.write_text(path.read_text().replace("serve:0.1.0@sha256:ab12", "serve:0.2.0@sha256:ef56"))
    world.commit("Newer server")


def to_be_removed(world):
    """`state: absent`, not yet carried out."""
    world.run()
    path = world.service_file("wine")
    path.write_text(path.read_text() + "\nstate: absent\n")
    world.commit("Remove wine")


def removed(world):
    """`state: absent`, carried out."""
    to_be_removed(world)
    world.run()


def files_deleted(world):
    """A service's files were deleted without `state: absent`."""
    world.run()
    git(world.laptop, "rm", "--quiet", "environments/production/services/a.yaml", "environments/production/models/a.yaml")
    world.commit("Tidy up")


def broken_file(world):
    """One of two services has a finding, the other moves."""
    world.run()
    world.model_file("a").write_text(world.model_file("a").read_text().replace('version: "1"', "version: 1"))
    world.bump("b", "2")


def one_of_two_failed(world):
    """One of two services failed, the other moved."""
    world.run()
    world.bump("a", "2")
    world.bump("b", "2")
    world.target.die_loading.add(world.desired().spec.environments["production"].services["a"].bundle.id)
    world.run()


def killed_midway(world):
    """A pass was killed after the switch; its lock has not expired."""
    ahead(world)
    _killed_at(world, "switch")


ONE = (
    fresh, settled, ahead, kept_warm, rolled_back, reverted, pinned_again, held, rejected_by_a_person, lost_an_instance,
    lost_everything, edited_by_hand, registry_down, tampered, deleted_version, more_replicas, another_image, to_be_removed,
    removed, killed_midway,
)  # fmt: skip
TWO = (files_deleted, broken_file, one_of_two_failed)
VERBS = {
    "status": lambda at: status(at, ()),
    "history": lambda at: history(at, "production", service="", limit=20),
    "plan": lambda at: plan(at, "production", exit_code=True, offline=False, services=()),
    "check": lambda at: reconcile(at, (), DeployOptions(), check=True),
    "deploy": lambda at: deploy(at, "production", DeployOptions(lock_timeout_s=0.0)),
}


@pytest.mark.parametrize("story", [*ONE, *TWO], ids=lambda story: story.__name__)
def test_every_verb_says_what_there_is_to_say(story, tmp_path, monkeypatch, capsys, update_golden):
    """One after the other in this state: four that look, then `deploy`, which acts; each ends with what to do next."""
    for name, value in FIXED.items():
        monkeypatch.setenv(name, value)
    world = World(tmp_path / "w", services=("a", "b") if story in TWO else ("wine",)).create()
    story(world)
    for verb, run in VERBS.items():
        report = run(desk(world))
        text = told(report, world, capsys)
        data = json.loads(told(report, world, capsys, output="json").rpartition("exit code")[0])
        assert (data["schema"], data["exit_code"], data["verdict"]) == (1, report.exit_code, report.verdict)
        path = GOLDEN / story.__name__ / f"{verb}.txt"
        if update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), path


def test_no_story_is_without_its_golden_folder():
    """A renamed story leaves no orphan behind, and none is missing."""
    assert {path.name for path in GOLDEN.iterdir()} == {story.__name__ for story in (*ONE, *TWO)}
