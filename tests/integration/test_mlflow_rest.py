"""The registry adapter, the cache, the evidence and the gates against a real MLflow server."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Subject
from mlrelease.http.errors import HttpError
from mlrelease.model.bundle import ModelPin
from mlrelease.model.gate import GateSpec, GateStatus
from mlrelease.registries.cache import ArtifactCache, metadata, serving_example
from mlrelease.registries.connect import connect
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.registries.evidence import gather
from support.mlflow_server import delete_version, register

GATES = (GateSpec("exists"), GateSpec("digest"))


@pytest.fixture
def registry(mlflow_uri):
    return connect(mlflow_uri, {})


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


@pytest.fixture
def name():
    """A registered model's name that no other test uses, with what has to be quoted in a URL."""
    return f"credit risk & co+{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def model():
    """A small classifier and 50 rows of its data."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data, target = load_iris(as_frame=True, return_X_y=True)
    return LogisticRegression(max_iter=200).fit(data, target), data.head(50)


def facts_of(registry, name, version="1"):
    return registry.describe([(name, version)])[(name, version)]


def judge(registry, cache, pin, *, back=False):
    evidence = gather([(pin, back)], registry=lambda: registry, cache=cache, read_files=True)
    return asked(evaluate(GATES, Subject("production", "risk", pin), evidence[pin]))


def asked(results):
    """Those of the two gates of this file; `evaluate` adds those that are never left out."""
    return [result for result in results if result.gate in {gate.gate for gate in GATES}]


def test_facts_files_bytes_and_digest_of_a_registered_version(mlflow_uri, registry, cache, name, model, tmp_path):
    """All that `bump` needs, and the same digest as the folder on the server's disk and as MLflow's own download."""
    import mlflow

    registered = register(mlflow_uri, name, model[0], input_example=model[1])
    facts = facts_of(registry, name)
    assert (facts.name, facts.version, facts.status, facts.model_id) == (name, "1", "READY", registered.model_id)
    assert registry.artifact_uri(facts) == f"mlflow-artifacts:/{registered.artifacts}"
    assert facts.created_at > 1.7e9
    digest, path = cache.fetch(facts, registry)
    listed = {file.path: file.size for file in registry.files(facts)}
    assert listed == {entry.path: entry.size for entry in manifest(path)}
    # MLflow up to 3.17 adds its own file to this download, which must not count
    theirs = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path / "dst"), tracking_uri=mlflow_uri)
    assert (Path(theirs) / "registered_model_meta").exists()
    assert digest_of(manifest(Path(theirs))) == digest
    assert metadata(path).flavors == ("python_function", "sklearn")
    assert len(metadata(path).inputs) == 4
    example = serving_example(path)
    assert len(example["dataframe_split"]["data"]) == 32


def test_versions_newest_first_and_what_does_not_exist(mlflow_uri, registry, name, model):
    """A deleted version is gone from both, an unknown name has none."""
    registered = [register(mlflow_uri, name, model[0]) for _ in range(3)]
    assert [f.version for f in registry.versions(name)] == ["3", "2", "1"]
    delete_version(registered[1])
    assert [f.version for f in registry.versions(name)] == ["3", "1"]
    asked = [
        (name, "1"),
        (name, "2"),
        (name, "3"),
        (name, "77"),
        (name, "abc"),
        (name, "1" * 20),
        ("nobody", "1"),
        ("it's", "1"),
    ]
    found = registry.describe(asked)
    assert {key: facts is not None for key, facts in found.items()} == {key: key in (asked[0], asked[2]) for key in asked}
    assert registry.versions("nobody") == registry.versions("it's") == registry.versions("""both ' and \"""") == ()


def test_an_alias_is_set_and_read_back(mlflow_uri, registry, name, model):
    """Twice is once; moving it takes it from the older version; a version that does not exist is refused."""
    register(mlflow_uri, name, model[0])
    register(mlflow_uri, name, model[0])
    for version in ("1", "1", "2"):
        registry.set_alias(name, "production", version)
    assert facts_of(registry, name, "1").aliases == ()
    assert facts_of(registry, name, "2").aliases == ("production",)
    with pytest.raises(HttpError, match="RESOURCE_DOES_NOT_EXIST"):
        registry.set_alias(name, "production", "77")


def test_a_copied_version_and_one_from_a_run_are_found(mlflow_uri, registry, cache, name, model):
    """A copy's source is `models:/<other>/1`, and its files are those of the other."""
    import mlflow

    register(mlflow_uri, name, model[0])
    client = mlflow.MlflowClient(mlflow_uri)
    client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    assert cache.fetch(facts_of(registry, f"{name}-copy"), registry) == cache.fetch(facts_of(registry, name), registry)
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "deep/model/MLmodel")
    client.create_registered_model(f"{name}-run")
    client.create_model_version(f"{name}-run", f"runs:/{run.info.run_id}/deep/model", run_id=run.info.run_id)
    facts = facts_of(registry, f"{name}-run")
    assert (facts.run_id, [file.path for file in registry.files(facts)]) == (run.info.run_id, ["MLmodel"])


def test_ready_does_not_mean_that_files_exist(mlflow_uri, registry, cache, name):
    """MLflow says READY of a source that is not there; the digest gate is then errored, and says what to do."""
    import mlflow

    mlflow.set_tracking_uri(mlflow_uri)
    client = mlflow.MlflowClient(mlflow_uri)
    client.create_registered_model(name)
    with mlflow.start_run() as run:
        client.create_model_version(name, f"runs:/{run.info.run_id}/nothing", run_id=run.info.run_id)
    client.create_model_version(name, "s3://no-such-bucket/nope")
    for version, text in (("1", "has no files where the registry says they are"), ("2", "[Cc]redentials")):
        facts = facts_of(registry, name, version)
        assert facts.status == "READY"
        with pytest.raises(Error, match=text):
            registry.files(facts)
        exists, digest = judge(registry, cache, ModelPin(name, version, "sha256:" + "0" * 64))
        assert (exists.status, digest.status) == (GateStatus.PASSED, GateStatus.ERRORED)
        assert re.search(text, digest.reason)


def test_names_that_need_quoting_and_empty_files_are_downloaded(mlflow_uri, registry, cache, name, model):
    """Spaces, accents, plus and ampersand in artifact paths; MLflow leaves the size 0 out of its listing."""
    registered = register(mlflow_uri, name, model[0])
    registered.put("code/a b/\u00e9+&=.py", b"x = 1\n")
    registered.put("code/empty", b"")
    _, path = cache.fetch(facts_of(registry, name), registry)
    assert (path / "code/a b/\u00e9+&=.py").read_bytes() == b"x = 1\n"
    assert (path / "code/empty").read_bytes() == b""


def test_a_server_that_refuses_the_host_name_says_so(mlflow_uri):
    """`127.1` is this machine, but not a name that the server was told."""
    registry = connect(mlflow_uri.replace("127.0.0.1", "127.1"), {})
    with pytest.raises(HttpError, match="refuses requests under this host name") as caught:
        registry.describe([("risk", "1")])
    assert "--allowed-hosts" in caught.value.hint


def test_a_rollback_to_cached_bytes_passes_when_the_version_was_deleted(mlflow_uri, registry, cache, name, model):
    """DESIGN §6, row 12; forward, the same pin fails."""
    from mlrelease.model.change import Direction

    registered = register(mlflow_uri, name, model[0])
    digest, _ = cache.fetch(facts_of(registry, name), registry)
    pin = ModelPin(name, "1", digest)
    assert [r.status for r in judge(registry, cache, pin)] == [GateStatus.PASSED, GateStatus.PASSED]
    delete_version(registered)
    assert judge(registry, cache, pin)[0].status is GateStatus.FAILED
    evidence = gather([(pin, True)], registry=lambda: registry, cache=cache, read_files=True)[pin]
    results = asked(evaluate(GATES, Subject("production", "risk", pin, Direction.BACK), evidence))
    assert [(r.status, r.evidence["source"]) for r in results] == [(GateStatus.PASSED, "cache")] * 2


class _Trace:
    """Unpickled, it makes a file: what an attacker's model would do, and worse."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_tampered_pickle_is_refused_and_never_ran(mlflow_uri, registry, cache, name, model, tmp_path):
    """Artifacts overwritten after the pin was written: the gate fails, nothing is kept, and nothing was unpickled."""
    trace = tmp_path / "trace"
    registered = register(mlflow_uri, name, model[0], serialization_format="pickle", input_example=model[1])
    digest, path = cache.fetch(facts_of(registry, name), registry)
    assert (path / "model.pkl").exists()
    cache.prune(())
    evil = pickle.dumps(_Trace(trace))
    registered.put("model.pkl", evil)
    assert facts_of(registry, name).status == "READY", "the registry notices nothing"

    exists, tampered = judge(registry, cache, ModelPin(name, "1", digest))
    assert exists.status is GateStatus.PASSED
    assert tampered.status is GateStatus.FAILED
    assert "the artifacts were changed after the pin was written" in tampered.reason
    assert list(cache.root.iterdir()) == []

    # bump looks at the same bytes without an expectation, reads what they declare, and loads nothing either
    found, path = cache.fetch(facts_of(registry, name), registry)
    assert tampered.evidence["found"] == found != digest
    assert metadata(path).has_input_example
    assert serving_example(path) is not None
    assert judge(registry, cache, ModelPin(name, "1", found))[1].status is GateStatus.PASSED
    assert not trace.exists()

    # the trap is live: loading these bytes would have sprung it
    subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))", path / "model.pkl"], check=True
    )
    assert trace.exists()
