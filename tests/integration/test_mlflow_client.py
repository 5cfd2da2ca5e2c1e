"""The `mlflow` package in its child process, for real: databases that are none, artifact stores that misbehave."""

from __future__ import annotations

import sqlite3
import time

import pytest
from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError
from mlrelease.model.version import VersionFacts
from mlrelease.registries.connect import connect
from support.faulty_server import closed_port, faulty, raw, silent

FACTS = VersionFacts("risk", "1", "READY", "models:/m-1", artifact_uri="s3://models/m-1")


@pytest.fixture
def keys():
    """Credentials for a store, under the names that its library reads."""
    return {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "s3cret-key", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.parametrize("content", ["tables of another program", "no database at all"])
def test_a_database_of_something_else_is_refused_and_not_written(tmp_path, content):
    """The client would make its thirty tables there."""
    path = tmp_path / "other.db"
    if content == "no database at all":
        path.write_text("hello" * 1000)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(Error, match=r"this database holds no MLflow registry|file is not a database"):
        connect(f"sqlite:///{path}", {}).models()
    assert path.read_bytes() == before


def test_a_database_server_that_nobody_runs_is_reported_without_its_password():
    """Or the driver for it that is not installed."""
    with pytest.raises(Error) as caught:
        connect("postgresql://ann:p%40ss%2Fw0rd@127.0.0.1:1/mlflow", {}).models()
    said = f"{caught.value.message} {caught.value.hint} {caught.value.where}"
    assert "refused" in said or "pip install 'psycopg[binary]'" in said
    assert caught.value.where == "postgresql://127.0.0.1:1/mlflow"
    assert "w0rd" not in said


def test_the_working_directory_is_not_on_the_childs_path(tmp_path, monkeypatch):
    """A file `mlflow.py` in a checkout is not what is imported."""
    trap = tmp_path / "sprung"
    (tmp_path / "mlflow.py").write_text(f"import pathlib; pathlib.Path({str(trap)!r}).touch()")
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("CREATE TABLE t (a TEXT)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error, match="this database holds no MLflow registry"):
        connect("sqlite:///x.db", {}).models()
    assert not trap.exists()


def test_a_store_that_refuses_connections_is_reported_in_time(tmp_path, keys):
    """Its library's own retries, and its name for the address."""
    with closed_port() as port:
        began = time.monotonic()
        registry = connect("http://127.0.0.1:1", keys | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}") as caught:
            registry.download(FACTS, tmp_path)
        assert time.monotonic() - began < DEADLINES_S["mlflow.client.start"]
    assert (caught.value.where, list(tmp_path.iterdir())) == ("s3://models/m-1", [])


def test_a_store_that_says_nothing_is_left_in_time(tmp_path, keys):
    """The child is ended: its library would wait for a minute, five times."""
    with faulty(silent) as server:
        registry = connect("http://127.0.0.1:1", keys | {"MLFLOW_S3_ENDPOINT_URL": server.url})
        registry._client.ask("files", uri=tmp_path.as_uri())  # mlflow is imported by now
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"s3://models/m-1 did not answer within 1 s"):
            registry._client.ask("files", uri=FACTS.artifact_uri, within_s=1)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        pytest.param(403, "AccessDenied", "Access Denied", id="keys that may not"),
        pytest.param(404, "NoSuchBucket", "The specified bucket does not exist", id="no bucket"),
    ],
)
def test_a_store_that_refuses_is_an_error_without_the_keys(tmp_path, keys, status, code, said):
    """Not one that later may be better."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()
    with faulty(raw(body, status, content_type="application/xml")) as server:
        registry = connect("http://127.0.0.1:1", keys | {"MLFLOW_S3_ENDPOINT_URL": server.url})
        with pytest.raises(Error, match=said) as caught:
            registry.download(FACTS, tmp_path)
    assert not isinstance(caught.value, UnavailableError)
    assert keys["AWS_SECRET_ACCESS_KEY"] not in f"{caught.value.message} {caught.value.hint}"
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_listing_leaves_the_folder_writes_nothing(tmp_path, keys):
    """Keys of a bucket may hold anything, `..` too."""
    listing = (
        "<?xml version='1.0'?><ListBucketResult><Name>models</Name><Prefix>m-1/</Prefix><IsTruncated>false</IsTruncated>"
        "<Contents><Key>m-1/..</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    (into := tmp_path / "into").mkdir()
    with faulty(raw(listing.encode(), content_type="application/xml")) as server:
        registry = connect("http://127.0.0.1:1", keys | {"MLFLOW_S3_ENDPOINT_URL": server.url})
        with pytest.raises(Error, match=r"unsafe name"):
            registry.download(FACTS, into)
    assert [path.name for path in tmp_path.iterdir()] == ["into"]
    assert list(into.iterdir()) == []
