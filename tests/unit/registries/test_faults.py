"""Every fault of a registry's server, for metadata and for artifact bytes: ends in time, says what and where, shows no secret.

The server misbehaves for real; `tests/unit/http/test_calls.py` has the policy in detail.
"""

from __future__ import annotations

import gzip
import time

import pytest
from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError
from mlrelease.http import retries as policy
from mlrelease.http.errors import AnsweredBadlyError, HttpError
from mlrelease.model.version import VersionFacts
from mlrelease.registries import mlflow_rest
from mlrelease.registries.asking import ask
from mlrelease.registries.connect import connect
from support.core import model
from support.faulty_server import (
    answer,
    closed_port,
    cut_chunk,
    dripping,
    error,
    faulty,
    raw,
    redirecting,
    reset,
    silent,
    slowly,
    truncated,
)

SECRET = "s3cret-t0ken"
TOTAL_S = 0.6
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ROOT = "0/models/m-1/artifacts"
FACTS = VersionFacts("risk", "1", "READY", "models:/m-1", model_id="m-1", artifact_uri=f"mlflow-artifacts:/{ROOT}")
GOOD = answer({"model_version": {"name": "risk", "version": "1", "status": "READY", "source": "s3://b/m"}})
HTML = "text/html; charset=utf-8"
BOMB = gzip.compress(b'{"a": "' + b" " * (8 << 20) + b'"}')


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """The real policy, its waits and deadlines a tenth as long."""
    monkeypatch.setattr(policy, "FIRST_WAIT_S", 0.02)
    short = {"mlflow.connect": 0.5, "mlflow.read": 0.2, "mlflow.total": TOTAL_S, "mlflow.download": TOTAL_S}
    monkeypatch.setattr(mlflow_rest, "DEADLINES_S", {**DEADLINES_S, **short})


def rest(url):
    return connect(url.replace("//", f"//ann:{SECRET}@") + f"/?key={SECRET}", {})


def shown(caught):
    return f"{caught.value.message} {caught.value.hint} {caught.value.where or ''}"


FOR_EVER = [
    pytest.param(reset, UnavailableError, "did not answer: (connection reset|the connection was closed)", id="reset"),
    pytest.param(silent, UnavailableError, "did not answer: no answer within 0.2 s", id="no answer"),
    pytest.param(dripping, UnavailableError, "did not answer: the answer did not end in time", id="an answer without end"),
    pytest.param(truncated(), UnavailableError, "did not answer: the answer was cut off", id="a body cut off"),
    pytest.param(cut_chunk(), UnavailableError, "did not answer: the answer was cut off", id="a chunk cut off"),
    pytest.param(
        raw(b'{"model_', content_type="application/json"), UnavailableError, "not whole JSON", id="a JSON text cut off"
    ),
    pytest.param(error(500, "INTERNAL_ERROR"), AnsweredBadlyError, "answered 500 INTERNAL_ERROR: because", id="500 for ever"),
    pytest.param(raw(b"<html>", 502, content_type=HTML), AnsweredBadlyError, r"answered 502$", id="502 of a proxy, in HTML"),
    pytest.param(
        error(429, "REQUEST_LIMIT_EXCEEDED", Retry_After="3600"), UnavailableError, "asks to wait 3600 s", id="429, an hour"
    ),
    pytest.param(
        error(429, "X", Retry_After="Fri, 31 Dec 2199 23:59:59 GMT"),
        *(UnavailableError, r"asks to wait \d{8,} s"),
        id="429, until a date",
    ),
    pytest.param(
        raw(b"Invalid Host header - possible DNS rebinding attack detected", 403),
        *(HttpError, "refuses requests under this host name"),
        id="403 for the host's name",
    ),
    pytest.param(error(403, "PERMISSION_DENIED", "not yours"), HttpError, r"denies access \(403\): not yours", id="403"),
    pytest.param(raw(b"<html>log in", 401, content_type=HTML), HttpError, "refused the credentials", id="401, in HTML"),
    pytest.param(raw(b"gone", 404), HttpError, "404 without an MLflow error code", id="404 of something else"),
    pytest.param(redirecting, Error, "redirects in a circle", id="a circle of redirects"),
]

METADATA_ONLY = [
    pytest.param(raw(b"<html>log in", content_type=HTML), Error, "answered with text/html instead of JSON", id="a login page"),
    pytest.param(raw(b"{}", content_type="text/plain"), Error, "answered with text/plain", id="another content type"),
    pytest.param(raw(b" " * (65 << 20), content_type="application/json"), Error, "more than 65536 KiB", id="a huge answer"),
    pytest.param(
        raw(BOMB, content_type="application/json", Content_Encoding="gzip"),
        *(UnavailableError, "not whole JSON"),
        id="a gzip bomb, which is not unfolded",
    ),
    pytest.param(answer([]), Error, "JSON that is not an object", id="a list"),
    pytest.param(answer({"model_version": 7}), Error, "something else than the API describes", id="another API"),
]


@pytest.mark.parametrize(("fault", "kind", "text"), FOR_EVER + METADATA_ONLY)
def test_facts_end_in_time_with_a_clear_error(fault, kind, text):
    """One version asked for; the address stands in the error, its credentials and query do not."""
    with faulty(fault) as server:
        began = time.monotonic()
        with pytest.raises(kind, match=text) as caught:
            rest(server.url).describe([("risk", "1")])
        assert time.monotonic() - began < TOTAL_S + 1
        assert server.url in shown(caught) or "API describes" in shown(caught)
        assert SECRET not in shown(caught)


@pytest.mark.parametrize(("fault", "kind", "text"), FOR_EVER + METADATA_ONLY[:4])
def test_many_facts_end_in_time_with_the_same_error(fault, kind, text):
    """A hundred versions are asked for by searches: one deadline in all, not one each."""
    with faulty(fault) as server:
        began = time.monotonic()
        with pytest.raises(kind, match=text) as caught:
            rest(server.url).describe([(f"m{n}", "1") for n in range(100)])
        assert time.monotonic() - began < 2 * TOTAL_S + 1
        assert SECRET not in shown(caught)


@pytest.mark.parametrize(("fault", "kind", "text"), FOR_EVER + METADATA_ONLY[:2] + METADATA_ONLY[3:])
def test_a_fault_is_each_pins_evidence_and_no_exception(fault, kind, text):
    """With what to do about it; and a server that answers nothing is not asked a thousand times."""
    pins = [model(f"m{n}", "1") for n in range(600)]
    with faulty(fault) as server:
        began = time.monotonic()
        found = ask(rest(server.url), pins)
        assert time.monotonic() - began < 6 * TOTAL_S + 1
        assert len({request.path for request in server.requests}) < 150
    assert set(found) == set(pins)
    assert all(isinstance(said, str) and SECRET not in said for said in found.values())


BYTES_ONLY = [
    pytest.param(truncated(b"weig", 7, "text/plain"), UnavailableError, "the answer was cut off", id="fewer than announced"),
    pytest.param(cut_chunk(b"weig", "text/plain"), UnavailableError, "the answer was cut off", id="a chunk of bytes cut off"),
    pytest.param(raw(b"weight"), Error, "sent 6 bytes of 'model.bin' where it had announced 7", id="another file: shorter"),
    pytest.param(raw(b"weights!"), Error, "sent more bytes of 'model.bin'", id="another file: longer"),
    pytest.param(
        raw(b"<html>log in", content_type=HTML), Error, "sent more bytes of 'model.bin'", id="a login page for a file"
    ),
    pytest.param(raw(b"x" * (4 << 20)), Error, "sent more bytes of 'model.bin'", id="far more than announced"),
    pytest.param(
        raw(gzip.compress(b"w" * 7), Content_Encoding="gzip"), Error, "sent more bytes of 'model.bin'", id="a packed file"
    ),
]


@pytest.mark.parametrize(("fault", "kind", "text"), FOR_EVER[:2] + FOR_EVER[6:] + BYTES_ONLY)
def test_a_download_ends_in_time_with_a_clear_error(tmp_path, fault, kind, text):
    """The listing is well, the bytes are not: never more of them on disk than were announced."""
    routes = {PROXY: answer({"files": [{"path": "model.bin", "file_size": 7}]}), f"{PROXY}/{ROOT}/model.bin": fault}
    with faulty(routes=routes) as server:
        began = time.monotonic()
        with pytest.raises(kind, match=text) as caught:
            rest(server.url).download(FACTS, tmp_path)
        assert time.monotonic() - began < TOTAL_S + 1
        assert server.url in shown(caught)
        assert SECRET not in shown(caught)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 7


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(reset, id="reset"),
        pytest.param(truncated(), id="cut off"),
        pytest.param(cut_chunk(), id="a chunk cut off"),
        pytest.param(error(500, "INTERNAL_ERROR"), id="500"),
        pytest.param(error(503, "X", Retry_After="0"), id="503 that asks to come back at once"),
        pytest.param(slowly(GOOD, 0.3), id="slower than the deadline of one read"),
    ],
)
def test_a_fault_that_passes_after_three_times_is_not_seen(fault):
    """The fourth answer is the answer."""
    times = 1 if fault.__qualname__.startswith("slowly") else 3
    with faulty(*[fault] * times, GOOD) as server:
        assert rest(server.url).describe([("risk", "1")])["risk", "1"].status == "READY"
        assert len(server.requests) == times + 1


def test_a_healthy_looking_server_that_lets_nobody_in_is_named():
    """`/health` says 200 to everybody: it is never asked (FACTS §9.8)."""
    refused = raw(b"Invalid Host header - possible DNS rebinding attack detected", 403)
    with faulty(refused, routes={"/health": raw(b"OK")}) as server:
        with pytest.raises(HttpError) as caught:
            rest(server.url).describe([("risk", "1")])
        assert "--allowed-hosts" in caught.value.hint
        assert {request.path.partition("?")[0] for request in server.requests} == {"/api/2.0/mlflow/model-versions/get"}


def test_a_refused_connection_names_the_address_and_the_setting():
    """Facts, metrics, listing and alias alike."""
    with closed_port() as port:
        registry = rest(f"http://127.0.0.1:{port}")
        for call in (
            lambda: registry.describe([("risk", "1")]),
            lambda: registry.metrics(FACTS),
            lambda: registry.files(FACTS),
            lambda: registry.versions("risk"),
            registry.models,
            lambda: registry.alias("risk", "a"),
            lambda: registry.set_alias("risk", "a", "1"),
        ):
            with pytest.raises(UnavailableError, match=f"MLflow at http://127.0.0.1:{port} did not answer") as caught:
                call()
            assert "MLFLOW_TRACKING_URI" in caught.value.hint
            assert SECRET not in shown(caught)


def test_one_version_that_the_server_chokes_on_harms_no_other():
    """The searches fail, the single questions do not, but for one: it alone has no answer."""

    def play(handler):
        name = handler.path.partition("name=")[2].partition("&")[0]
        good = answer({"model_version": {"name": name, "version": "1", "status": "READY", "source": "s3://b/m"}})
        (error(500, "INTERNAL_ERROR") if name == "m7" else good)(handler)

    search = error(500, "INTERNAL_ERROR")
    routes = {"/api/2.0/mlflow/model-versions/search": search, "/api/2.0/mlflow/model-versions/get": play}
    pins = [model(f"m{n}", "1") for n in range(40)]
    with faulty(routes=routes) as server:
        found = ask(rest(server.url), pins)
    assert {pin.name for pin, said in found.items() if isinstance(said, str)} == {"m7"}
    assert all(said.status == "READY" for pin, said in found.items() if pin.name != "m7")


def test_a_version_that_may_not_be_read_harms_no_other():
    """Permissions hide a model from a search, and refuse it by its name: 403 for it, facts for the rest."""
    hidden = error(403, "PERMISSION_DENIED", "Permission denied")

    def found(handler):
        rows = [{"name": f"m{n}", "version": "1", "status": "READY", "source": "s3://b/m"} for n in range(40) if n != 7]
        answer({"model_versions": rows})(handler)

    def single(handler):
        name = handler.path.partition("name=")[2].partition("&")[0]
        good = answer({"model_version": {"name": name, "version": "1", "status": "READY", "source": "s3://b/m"}})
        (hidden if name == "m7" else good)(handler)

    routes = {"/api/2.0/mlflow/model-versions/search": found, "/api/2.0/mlflow/model-versions/get": single}
    pins = [model(f"m{n}", "1") for n in range(40)]
    with faulty(routes=routes) as server:
        answers = ask(rest(server.url), pins)
    assert [pin.name for pin, said in answers.items() if isinstance(said, str)] == ["m7"]
    assert "denies access (403): Permission denied" in next(said for said in answers.values() if isinstance(said, str))
