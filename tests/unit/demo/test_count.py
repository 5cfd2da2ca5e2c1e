"""The end of the story: it is only told as true when the clients and the ledger agree with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from mlrelease.demo.count import TOLD, count
from mlrelease.demo.load import Answered, summarize
from mlrelease.demo.place import ENVIRONMENTS
from mlrelease.demo.repository import MODELS, SERVICES
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error
from mlrelease.model.when import iso

STAY_S = 10.0
"""So long a version serves in these tests; a pass takes the first two seconds of it."""


def event(service, version, at):
    """A pass that proved this version of every model of the service."""
    models = [{"name": name, "version": version} for name in MODELS[service]]
    return {
        "kind": "deploy_finished",
        "at": iso(at + 2),
        "started_at": iso(at),
        "finished_at": iso(at + 2),
        "revision": f"r{at:g}",
        "services": {service: {"outcome": "succeeded", "change": "update", "after": {"models": models}}},
    }


def answer(name, version, at, **more):
    return Answered(at, at, at + 0.01, more.pop("status", 200), version=version, name=name, **more)


class Told:
    """A scene whose ledger and clients say what the story says, but for what a test adds or takes away."""

    def __init__(self, tmp_path):
        self.place = SimpleNamespace(logs=tmp_path)
        self.teller = Teller(100, styled=False)
        self.ended = []
        self.crew = SimpleNamespace(check=lambda name, doing: None, end=self.ended.append)
        self.said = []
        self.stays = {name: list(versions) for name, versions in TOLD.items()}
        self.extra = []

    def say(self, text):
        self.said.append(text)

    def events(self, environment):
        return [
            event(service, version, 100 + STAY_S * stay)
            for service in SERVICES
            for stay, version in enumerate(TOLD[f"{environment}/{service}"])
        ]

    def load(self, environment):
        given = [
            answer(name, version, 100 + STAY_S * stay + second)
            for name, versions in self.stays.items()
            if name.startswith(environment)
            for stay, version in enumerate(versions)
            for second in (2.5, 5.0, 9.5)
        ]
        return summarize(
            json.dumps(asdict(a)) + "\n" for a in given + [a for a in self.extra if a.name.startswith(environment)]
        )


@pytest.fixture
def told(tmp_path):
    """The story as it should have gone."""
    return Told(tmp_path)


def test_a_story_that_went_as_told_is_counted(told, capsys):
    """The load has ended, the tables are shown, and how often a version was proved."""
    count(told)
    assert told.ended == [f"load-{environment}" for environment in ENVIRONMENTS]
    assert told.said[-1].startswith(f"{sum(map(len, TOLD.values()))} times a version was declared proved")
    shown = capsys.readouterr().out
    assert all(name in shown for name in TOLD)


def test_every_service_of_every_environment_is_told_of():
    """None is asked without being counted."""
    assert set(TOLD) == {f"{environment}/{service}" for environment in ENVIRONMENTS for service in SERVICES}


@pytest.mark.parametrize(
    ("name", "stays", "said"),
    [
        ("production/progression", ["1", "2", "2"], "production/progression: version 2 gave 3 answers while 1 was proved"),
        ("staging/tumour", ["1", "3"], "staging/tumour was answered by the versions 1, 3, not 1, 2"),
        ("staging/forecasts", ["1", "2"], "nobody was answered while version 1 was proved"),
        ("production/forecasts", [], "production/forecasts was answered by the versions , not 1"),
    ],
    ids=["a rollback that did not happen", "a version that was refused", "silence after a rollback", "nobody asked"],
)
def test_a_story_that_went_otherwise_is_an_error(told, name, stays, said):
    """Named with the service and what answered."""
    told.stays[name] = stays
    with pytest.raises(Error) as raised:
        count(told)
    assert said in raised.value.message


def test_one_failed_request_is_one_too_many(told):
    """Named by its id."""
    told.extra.append(answer("production/tumour", "", 105.0, status=503, error="status 503", request_id="abc"))
    with pytest.raises(Error, match="production/tumour: request abc failed: status 503"):
        count(told)
