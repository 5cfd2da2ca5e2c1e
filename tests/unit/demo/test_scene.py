"""Waiting for what runs in the background, and showing it."""

from __future__ import annotations

import sys

import pytest
from mlrelease.demo.crew import Crew, sweep
from mlrelease.demo.models import FIRST_DONE, FLEET_DONE, LATER_DONE
from mlrelease.demo.place import environment, make_place
from mlrelease.demo.scene import Scene
from mlrelease.demo.steps import Runner
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

IDLE = "import time; time.sleep(600)"


@pytest.fixture
def scene():
    """A scene in a place of its own, in which an MLflow server seems to run."""
    place = make_place("")
    variables = environment(place, columns=96)
    teller = Teller(100, styled=False)
    made = Scene(place, teller, Runner(teller, variables), Crew(place, variables))
    start(made, "mlflow", IDLE)
    yield made
    sweep(place)
    place.remove()


def start(scene, name, code):
    scene.crew.start(name, [sys.executable, "-c", code], cwd=scene.place.root)


def training(*lines, then=""):
    return "\n".join([*(f"print({line!r}, flush=True)" for line in lines), then])


def test_training_is_shown_until_it_is_as_far_as_needed(scene, capsys):
    """Our own lines, not those of libraries; the process goes on."""
    start(scene, "models", training("Successfully registered model 'tumour'.", "tumour 1  good", f"{FIRST_DONE} 36", then=IDLE))
    scene.wait_for_models(FIRST_DONE)
    assert capsys.readouterr().out == "    tumour 1  good\n"
    assert scene.crew.exit_code("models") is None


def test_training_may_be_further_than_was_waited_for(scene, capsys):
    """What was said long ago, by a process that has ended since, is not waited for again, nor shown twice."""
    said = [f"{FIRST_DONE} 36", "tumour 2  better", f"{LATER_DONE} 5", "forecasts 2  34 series", f"{FLEET_DONE} 34"]
    start(scene, "models", training("tumour 1  good", *said))
    scene.crew.started["models"].wait(20)
    for done in (FIRST_DONE, LATER_DONE, FLEET_DONE):
        scene.wait_for_models(done)
    assert capsys.readouterr().out.splitlines() == ["    tumour 1  good", "    tumour 2  better", "    forecasts 2  34 series"]


def test_training_that_ends_badly_ends_the_story(scene):
    """With its last words."""
    start(scene, "models", "import sys; sys.exit('no such data set')")
    with pytest.raises(Error, match="the process `models` ended with 1: no such data set"):
        scene.wait_for_models(FIRST_DONE)


def test_a_server_that_died_ends_the_wait(scene):
    """Nobody waits minutes for models that can no longer be registered."""
    scene.crew.end("mlflow")
    start(scene, "models", IDLE)
    with pytest.raises(Error, match="the MLflow server ended with -15"):
        scene.wait_for_models(FIRST_DONE)


def test_the_load_of_an_environment_that_nobody_asked_yet_is_empty(scene):
    """A demo that ends early still writes its report."""
    assert scene.load("production").sent == 0
