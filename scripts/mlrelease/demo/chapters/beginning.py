"""From an empty folder to three services in production: registered, pinned, deployed in staging, promoted, approved."""

from __future__ import annotations

import sys

from mlrelease.demo.models import FIRST_DONE, GOOD
from mlrelease.demo.models.forecasts import FLEET
from mlrelease.demo.place import PRODUCTION, STAGING
from mlrelease.demo.repository import SERVICES, write
from mlrelease.demo.scene import RATE, Scene
from mlrelease.errors import Error

ALL = tuple(word for service in SERVICES for word in ("--service", service))


def repository(scene: Scene) -> None:
    """A remote, a repository made by `init`, the host's clone; MLflow starts and models are trained meanwhile."""
    place = scene.place
    scene.say(
        f"Everything happens in {place.root}. An MLflow server starts at {place.tracking_uri}; there a classifier of tumours, "
        f"a regressor of a disease's progression, and {len(FLEET)} ARIMA forecasts of real series are trained and registered. "
        "Meanwhile: a git remote, a repository, and the clone of the host on which the models will run."
    )
    scene.start_mlflow()
    models = [sys.executable, "-m", "mlrelease.demo.models", place.tracking_uri, "--trace", str(place.trace)]
    scene.crew.start("models", models, cwd=place.root)
    scene.run("remote", "git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git", cwd=place.root)
    scene.run("init", "mlrelease", "init", "laptop", "--remote", "../origin.git", cwd=place.root)
    count = write(place)
    scene.say(
        f"The example makes way for {count} files: staging and production with three services each, one file per model. "
        "What moves forward in production was verified in staging, and somebody approved it."
    )
    scene.run("add", "git", "add", "--all")
    scene.run("commit", "git", "commit", "--quiet", "--message", "Two environments, three services")
    scene.push("files")
    scene.run("clone", "git", "clone", "--quiet", "origin.git", "host", cwd=place.root)
    scene.say("The files are checked without asking anybody, as a pre-commit hook would.")
    scene.run("validate offline", "mlrelease", "validate", "--offline")
    scene.say("These versions are registered in MLflow:")
    scene.wait_for_models(FIRST_DONE)


def staging(scene: Scene) -> None:
    """Version 1 of everything, pinned in one go, checked as a pull request is, and deployed in staging."""
    scene.say(
        "Somebody pins version 1 of everything in staging: every file gets the digest of the version's files, in a commit of "
        "its own, so that each can be taken back alone. Nothing runs yet."
    )
    scene.bump("all 1", *ALL, "--to", GOOD)
    scene.push("all 1")
    scene.say("No agent is running yet, so `deploy` does the work itself: check the gates, start, prove, switch, record.")
    scene.deploy("staging 1", STAGING)
    scene.say(f"From now on clients POST {RATE} requests per second to the three services of staging.")
    scene.start_load(STAGING)


def promotion(scene: Scene) -> None:
    """What staging verified goes to production: not before somebody has said so."""
    scene.say("What staging verified is promoted: the pins of production become those that staging proved.")
    scene.run("promote 1", "mlrelease", "promote", STAGING, PRODUCTION)
    scene.push("promotion 1")
    scene.say("Merged is not approved: production waits.")
    scene.deploy("production blocked", PRODUCTION, expected=5)
    if serving := list((scene.place.state(PRODUCTION) / "instances").glob("*.json")):
        raise Error(f"{len(serving)} instances were started in production before anybody approved")
    scene.say("On GitHub this is the environment's reviewer; here it is a command. It approves exactly these moves.")
    scene.run("approve 1", "mlrelease", "approve", PRODUCTION)
    scene.deploy("production 1", PRODUCTION)
    scene.say(f"Clients of production, {RATE} requests per second, come too.")
    scene.start_load(PRODUCTION)
