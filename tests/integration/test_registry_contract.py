"""What every `ModelRegistry` promises, the fake included: one suite over all adapters, servers, stores and credentials.

Each of them holds versions 1 and 2 of one model (`support/registering.py`).
"""

from __future__ import annotations

import math
import uuid
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.http.errors import HttpError
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.registries.connect import connect
from mlrelease.registries.digest import digest_of, manifest
from support.fake_registry import FakeRegistry
from support.mlflow_old import old_python
from support.mlflow_server import register_two, running_mlflow
from support.s3_server import BUCKET, running_s3
from support.token_proxy import token_proxy

# MLflow 2.22 is installed into an environment of its own, once a machine: 45 s, minutes where everything runs at once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("registries"), pytest.mark.timeout(900)]

NAME = f"contract & co {uuid.uuid4().hex[:8]}"
TOKEN = "t0ken-of-the-proxy"
ADMIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "p@ss w0rd/:#"}


def _fake(folder, mlflow_uri, s3):
    registry = FakeRegistry()
    for version in ("1", "2"):
        registry.add(NAME, version, {"MLmodel": b"flavors: {}\n", "sub/data": version.encode()})
        numbers = {"rmse": int(version) + 0.5, "broken": math.nan, "zero": 0.0}
        registry.numbers[NAME, version] = numbers, "model"
        registry.facts[NAME, version] = replace(registry.facts[NAME, version], run_id=f"run-{version}")
        data = Dataset("two rows", "0123abcd", "code", "{}", "training")
        run = RunFacts(f"run-{version}", "a name", "FINISHED", "me", "0", 1.8e9, 1.8e9 + 1, "", "registering.py", numbers)
        registry.runs[f"run-{version}"] = replace(run, params={"constant": version}, datasets=(data,))
    yield registry


def _register_once(mlflow_uri):
    if not connect(mlflow_uri, {}).versions(NAME):
        register_two(NAME, {"MLFLOW_TRACKING_URI": mlflow_uri})


def _rest(folder, mlflow_uri, s3):
    """The usual case: a server of MLflow 3 that hands artifacts on."""
    _register_once(mlflow_uri)
    yield connect(mlflow_uri, {})


def _token(folder, mlflow_uri, s3):
    """The same server behind a proxy that asks for a bearer token."""
    _register_once(mlflow_uri)
    with token_proxy(mlflow_uri, TOKEN) as uri:
        with pytest.raises(HttpError, match="refused the credentials"):
            connect(uri, {}).describe([(NAME, "1")])
        yield connect(uri, {"MLFLOW_TRACKING_TOKEN": TOKEN})


def _password(folder, mlflow_uri, s3):
    """MLflow's own `basic-auth` app."""
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder / 'auth.db'}\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN["MLFLOW_TRACKING_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for the test",
    }
    with running_mlflow(folder, options=("--app-name", "basic-auth"), environment=environment) as uri:
        register_two(NAME, {"MLFLOW_TRACKING_URI": uri} | ADMIN)
        for wrong in ({}, ADMIN | {"MLFLOW_TRACKING_PASSWORD": "wrong"}):
            with pytest.raises(HttpError, match="refused the credentials"):
                connect(uri, wrong).describe([(NAME, "1")])
        yield connect(uri, ADMIN)


def _s3(folder, mlflow_uri, s3):
    """A server that does not hand artifacts on: each client reads them from the bucket, with its own keys."""
    keys = s3()
    options = ("--default-artifact-root", f"s3://{BUCKET}/root", "--no-serve-artifacts")
    with running_mlflow(folder, options=options, environment=keys) as uri:
        register_two(NAME, {"MLFLOW_TRACKING_URI": uri, **keys})
        registry = connect(uri, keys)
        assert registry.artifact_uri(registry.versions(NAME)[0]).startswith(f"s3://{BUCKET}/root/")
        yield registry


def _mlflow_2(folder, mlflow_uri, s3):
    """A server of MLflow 2.22, filled by its own client: sources are runs, and its search knows no `IN` for names."""
    python = old_python()
    with running_mlflow(folder, python=python) as uri:
        register_two(NAME, {"MLFLOW_TRACKING_URI": uri}, python=python)
        yield connect(uri, {})


def _sqlite(folder, mlflow_uri, s3):
    """No server: the database in a file beside the repository, named by a relative path."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    register_two(NAME, {"MLFLOW_TRACKING_URI": uri}, artifact_root=(folder / "artifacts").as_uri())
    yield connect("sqlite:///mlflow.db", {}, base=lambda: folder)


def _sqlite_s3(folder, mlflow_uri, s3):
    """No server, and the artifacts in a bucket."""
    keys = s3()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    register_two(NAME, {"MLFLOW_TRACKING_URI": uri, **keys}, artifact_root=f"s3://{BUCKET}/from-sqlite")
    yield connect(uri, keys)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Starts the S3 server when it is first called; what it returns are the keys."""
    with ExitStack() as running:
        yield cache(lambda: running.enter_context(running_s3(tmp_path_factory.mktemp("s3"))))


@pytest.fixture(
    scope="module",
    params=[_fake, _rest, _token, _password, _s3, _mlflow_2, _sqlite, _sqlite_s3],
    ids=["fake", "rest", "rest, token", "rest, password", "rest, S3", "rest, MLflow 2.22", "SQLite", "SQLite, S3"],
)
def registry(request, mlflow_uri, s3, tmp_path_factory):
    """A registry with versions 1 and 2 of a model."""
    yield from request.param(tmp_path_factory.mktemp("registry"), mlflow_uri, s3)


def test_describe_answers_for_every_pair_and_none_for_what_is_missing(registry):
    """Also for what cannot be a version."""
    asked = [(NAME, "1"), (NAME, "2"), (NAME, "3"), (NAME, "latest"), ("nobody", "1"), ("it's", "1"), (NAME, "9" * 20)]
    found = registry.describe(asked)
    assert [(facts.name, facts.version, facts.status) if facts else None for facts in map(found.get, asked)] == [
        (NAME, "1", "READY"),
        (NAME, "2", "READY"),
        *(None, None, None, None, None),
    ]
    assert registry.describe([]) == {}


def test_many_asked_at_once_are_answered_as_one_by_one(registry):
    """By searches, then; but for the aliases, which those leave out."""
    asked = [(name, str(version)) for name in (NAME, "nobody", "it's") for version in range(1, 9)]
    together = registry.describe(asked)
    assert list(together) == sorted(asked)
    assert {key for key, facts in together.items() if facts} == {(NAME, "1"), (NAME, "2")}
    for key in asked[:3]:
        alone = registry.describe([key])[key]
        facts = together[key]
        assert (facts and facts.source, facts and facts.created_at) == (alone and alone.source, alone and alone.created_at)


def test_versions_come_newest_first(registry):
    """And none for a name that nobody registered."""
    assert [facts.version for facts in registry.versions(NAME)] == ["2", "1"]
    assert registry.versions("nobody") == registry.versions("it's") == registry.versions("both ' and \"") == ()


def test_the_registered_model_is_among_the_models(registry):
    """Sorted."""
    names = registry.models()
    assert NAME in names
    assert list(names) == sorted(names)


def test_metrics_are_those_of_the_version_and_nan_stays_nan(registry):
    """A zero is a zero, and what is no number is none: a gate must be able to tell them apart."""
    for facts in registry.describe([(NAME, "1"), (NAME, "2")]).values():
        values, source = registry.metrics(facts)
        assert (values["rmse"], values["zero"]) == (int(facts.version) + 0.5, 0.0)
        assert source == ("model" if facts.source.startswith("models:") else "run")
        assert math.isnan(values["broken"])


def test_a_run_says_what_it_was_trained_with(registry):
    """Parameters, metrics, data and program, as they were logged; a run that is gone is None."""
    for facts in registry.versions(NAME):
        run = registry.run(facts.run_id)
        assert (run.run_id, run.status, run.params) == (facts.run_id, "FINISHED", {"constant": facts.version})
        assert (run.metrics["rmse"], run.metrics["zero"]) == (int(facts.version) + 0.5, 0.0)
        assert math.isnan(run.metrics["broken"])
        assert [(data.name, data.context) for data in run.datasets] == [("two rows", "training")]
        assert all(data.digest and data.source for data in run.datasets)
        assert run.entry.endswith("registering.py")
        assert 1.7e9 < run.started_at <= run.ended_at
    assert registry.run("0" * 32) is None


def test_the_listed_files_are_those_that_are_downloaded(registry, tmp_path):
    """Path and size of each; two versions differ in their digest; facts from a search do as well as described ones."""
    digests = []
    for facts in (*registry.versions(NAME), registry.describe([(NAME, "2")])[NAME, "2"]):
        (into := tmp_path / str(len(digests))).mkdir()
        registry.download(facts, into)
        entries = manifest(into)
        assert [(file.path, file.size) for file in registry.files(facts)] == [(entry.path, entry.size) for entry in entries]
        assert (into / "sub" / "data").read_text() == facts.version
        digests.append(digest_of(entries))
    assert digests[0] == digests[2] != digests[1]


def test_an_alias_is_set_once_however_often_and_moves(registry):
    """A single described version shows it; an alias that is not there is None."""
    alias = f"champion-{uuid.uuid4().hex[:8]}"
    assert registry.alias(NAME, alias) is None
    for version in ("1", "1", "2"):
        registry.set_alias(NAME, alias, version)
        assert registry.alias(NAME, alias).version == version
        assert alias in registry.describe([(NAME, version)])[NAME, version].aliases
    assert alias not in registry.describe([(NAME, "1")])[NAME, "1"].aliases


def test_an_alias_of_a_version_that_does_not_exist_is_refused(registry):
    """With an error, and the alias stays where it is."""
    registry.set_alias(NAME, "stays", "1")
    with pytest.raises(Error):
        registry.set_alias(NAME, "stays", "77")
    assert registry.alias(NAME, "stays").version == "1"


def test_the_address_for_messages_holds_no_credentials(registry):
    """Whatever the credentials are."""
    assert registry.where
    assert not {TOKEN, "p@ss", "s3cret"} & set(registry.where.replace("@", " ").split())


def test_nothing_is_left_in_the_working_directory(registry, monkeypatch, tmp_path):
    """Where a stray `mlruns` folder would choose another backend for the client, nothing is read or written."""
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: 0\n")
    monkeypatch.chdir(tmp_path)
    assert registry.describe([(NAME, "1")])[NAME, "1"] is not None
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*"))] == [
        Path("mlruns"),
        Path("mlruns/0"),
        Path("mlruns/0/meta.yaml"),
    ]
