"""Forward once more, and back: one of two commits, a whole fleet, and once without MLflow. An agent does the work."""

from __future__ import annotations

import socket
import time

from mlrelease.demo.models import BETTER, FLEET_DONE, FORECASTS, GOOD, PROGRESSION, TUMOUR
from mlrelease.demo.models.forecasts import NAMES
from mlrelease.demo.place import PRODUCTION, STAGING
from mlrelease.demo.scene import Scene
from mlrelease.errors import Error


def better_versions(scene: Scene) -> None:
    """Two better versions, one after the other through staging into production, under load."""
    scene.say(f"Version {BETTER} of both is better. Staging first, then production; old and new answer until the switch.")
    scene.bump("better", TUMOUR, PROGRESSION, "--to", BETTER)
    scene.push("better")
    scene.deploy("staging 2", STAGING)
    scene.run("promote 2", "mlrelease", "promote", STAGING, PRODUCTION)
    scene.push("promotion 2")
    scene.run("approve 2", "mlrelease", "approve", PRODUCTION)
    scene.deploy("production 2", PRODUCTION)


def revert_one(scene: Scene) -> None:
    """`git revert` of the older of two commits; the agent applies it, and the other one stays."""
    scene.say("On the host an agent takes over: it looks at git every second and makes what runs equal to it.")
    scene.start_agent()
    older = scene.commit_of(f"environments/{PRODUCTION}/models/{PROGRESSION}.yaml")
    scene.say(
        f"Now version {BETTER} of `{PROGRESSION}` turns out to be wrong for the business, which no gate could know. Whoever is "
        f"on call reverts its commit, which is not the newest, and pushes. Nothing else is needed, no approval is asked."
    )
    scene.run("revert one", "git", "revert", "--no-edit", older)
    pushed_at = time.time()
    scene.push("revert of one")
    scene.say("The agent's log:")
    scene.follow_agent(PRODUCTION)
    scene.rolled_back(PRODUCTION, PROGRESSION, PROGRESSION, GOOD, since=("git push", pushed_at))
    if (version := scene.identity(PRODUCTION, TUMOUR)[TUMOUR]) != BETTER:
        raise Error(f"{TUMOUR} answers as version {version}: the revert was not of {PROGRESSION} alone")


def fleet(scene: Scene) -> None:
    """Every forecast moves forward, and all of them go back in one commit."""
    scene.say(f"The whole fleet was retrained on newer observations: {len(NAMES)} pins move in staging.")
    scene.wait_for_models(FLEET_DONE)
    scene.bump("fleet", "--service", FORECASTS, "--to", BETTER)
    scene.push("fleet")
    scene.say("The agent's log:")
    scene.follow_agent(STAGING)
    _fleet_answers(scene, BETTER)
    scene.say("The newest observations were preliminary. All forecasts go back to what was last good, in one commit:")
    before, began = scene.head(), time.time()
    scene.run("rollback fleet", "mlrelease", "rollback", STAGING, "--service", FORECASTS, "--last-good")
    commits = scene.quiet("git", "rev-list", "--count", f"{before}..HEAD").strip()
    files = scene.quiet("git", "diff", "--name-only", before, "HEAD").split()
    if (commits, len(files)) != ("1", len(NAMES)):
        raise Error(f"the rollback is {commits} commits over {len(files)} files, not one over {len(NAMES)}")
    scene.follow_agent(STAGING)
    scene.rolled_back(STAGING, FORECASTS, NAMES[0], GOOD, since=("mlrelease rollback", began))
    _fleet_answers(scene, GOOD)


def without_mlflow(scene: Scene) -> None:
    """A rollback while the registry is down: what was verified lies on the host."""
    place = scene.place
    scene.say(f"MLflow dies, and in that very hour version {BETTER} of `{TUMOUR}` has to go.")
    scene.crew.end("mlflow")
    began = time.time()
    scene.run("rollback without MLflow", "mlrelease", "rollback", PRODUCTION, "--service", TUMOUR, "--to", GOOD)
    scene.follow_agent(PRODUCTION)
    scene.rolled_back(PRODUCTION, TUMOUR, TUMOUR, GOOD, since=("mlrelease rollback", began))
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", place.mlflow_port)) == 0:
            raise Error("MLflow was there all the while")
    scene.say(
        "The version lay on the host since it was verified there. MLflow is started again; its aliases follow by themselves."
    )
    scene.start_mlflow()


def look(scene: Scene) -> None:
    """What is there to see."""
    scene.say("What runs, asked of the running instances; what ran and why, from the ledger; and one prediction.")
    scene.run("status", "mlrelease", "status")
    scene.run("history", "mlrelease", "history", PRODUCTION)
    scene.run("predict", "mlrelease", "predict", STAGING, FORECASTS, "--model", NAMES[0])


def _fleet_answers(scene: Scene, version: str) -> None:
    """Raises `Error` unless every forecast of staging says that it is of this version."""
    said = scene.identity(STAGING, FORECASTS)
    others = sorted(name for name in NAMES if said.get(name) != version)
    if others:
        raise Error(f"{len(others)} of {len(NAMES)} forecasts are not of version {version}: {', '.join(others[:5])}")
