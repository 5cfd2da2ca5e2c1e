"""What every `ModelRegistry` promises, the fake included: one suite over all of them."""

from __future__ import annotations

import uuid

import pytest
from mlrelease.registries.digest import digest_of, manifest
from support.fake_registry import FakeRegistry
from support.mlflow_server import register


def _fake(name, mlflow_uri):
    registry = FakeRegistry()
    for version in ("1", "2"):
        registry.add(name, version, {"MLmodel": b"flavors: {}\n", "sub/data": version.encode()})
    return registry


def _mlflow_rest(name, mlflow_uri):
    from mlrelease.registries.connect import connect
    from sklearn.dummy import DummyClassifier

    for version in (1, 2):
        registered = register(mlflow_uri, name, DummyClassifier(strategy="constant", constant=version).fit([[0], [1]], [1, 2]))
        registered.put("sub/data", str(version).encode())
    return connect(mlflow_uri, {})


@pytest.fixture(params=[_fake, _mlflow_rest], ids=["fake", "mlflow_rest"])
def named(request, mlflow_uri):
    """A registry with versions 1 and 2 of a model, and the model's name."""
    name = f"contract-{uuid.uuid4().hex[:8]}"
    return request.param(name, mlflow_uri), name


def test_describe_answers_for_every_pair_and_none_for_what_is_missing(named):
    """Also for what cannot be a version."""
    registry, name = named
    asked = [(name, "1"), (name, "2"), (name, "3"), (name, "latest"), ("nobody", "1")]
    found = registry.describe(asked)
    assert [(facts.name, facts.version, facts.status) if facts else None for facts in map(found.get, asked)] == [
        (name, "1", "READY"),
        (name, "2", "READY"),
        *(None, None, None),
    ]
    assert registry.describe([]) == {}


def test_versions_come_newest_first(named):
    """And none for a name that nobody registered."""
    registry, name = named
    assert [facts.version for facts in registry.versions(name)] == ["2", "1"]
    assert registry.versions("nobody") == ()


def test_the_listed_files_are_those_that_are_downloaded(named, tmp_path):
    """Path and size of each; two versions differ in their digest; facts from a search do as well as described ones."""
    registry, name = named
    digests = []
    for facts in (*registry.versions(name), registry.describe([(name, "2")])[name, "2"]):
        (into := tmp_path / str(len(digests))).mkdir()
        registry.download(facts, into)
        entries = manifest(into)
        assert [(file.path, file.size) for file in registry.files(facts)] == [(entry.path, entry.size) for entry in entries]
        digests.append(digest_of(entries))
    assert digests[0] == digests[2] != digests[1]


def test_an_alias_is_set_once_however_often(named):
    """Described facts show it."""
    registry, name = named
    registry.set_alias(name, "production", "1")
    assert registry.describe([(name, "1")])[name, "1"].aliases == ("production",)
