"""How an MLflow server says no, word by word: what is tried again, and what a person reads and does."""

from __future__ import annotations

import json

import pytest
from mlrelease.http.dialect import Refusal, Retry
from mlrelease.http.errors import HttpError
from mlrelease.registries.mlflow_dialect import MlflowDialect

SERVER = "MLflow at http://m"
LOGIN = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
HOSTS = "start it with `mlflow server --allowed-hosts` naming this host, with and without the port"
ADDRESS = "check tracking_uri, with its path prefix if there is one"


def refusal(status, body=b"", kind="application/json", **headers):
    """A refusal as the policy hands it on; a body that is no bytes is MLflow's JSON."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(status, {"Content-Type": kind, **names}, body if isinstance(body, bytes) else json.dumps(body).encode())


CODE = {"error_code": "INTERNAL_ERROR", "message": "no\nluck\x1b[2J"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        pytest.param(500, CODE, "application/json", "500 INTERNAL_ERROR: no luck [2J", id="MLflow's own"),
        pytest.param(500, CODE, "text/html", "500", id="of another kind"),
        pytest.param(502, b"<html>", "text/html", "502", id="a proxy's page"),
        pytest.param(503, b"{", "application/json", "503", id="half an answer"),
        pytest.param(503, b"\xff", "application/json", "503", id="no text"),
        pytest.param(503, b"[" * 60_000, "application/json", "503", id="an answer far too deep"),
        pytest.param(429, [1], "application/json; charset=utf-8", "429", id="a list"),
        pytest.param(429, {"error_code": 7}, "application/json", "429", id="a code that is no text"),
        pytest.param(429, {"error_code": "X"}, "application/json", "429 X:", id="no message"),
        pytest.param(429, {"error_code": "X", "message": {"a": 1}}, "application/json", "429 X: {'a': 1}", id="no text"),
    ],
)
def test_what_may_pass_is_tried_again_with_its_words(status, body, kind, words):
    """One line, without what would move a cursor."""
    found = MlflowDialect().judge(SERVER, refusal(status, body, kind))
    assert isinstance(found, Retry)
    assert (found.words.strip(), found.after_s) == (words, None)


def test_how_long_to_wait_is_the_servers_word():
    """In seconds."""
    assert MlflowDialect().judge(SERVER, refusal(503, Retry_After="7")).after_s == 7.0


@pytest.mark.parametrize(
    ("found", "code", "message", "hint"),
    [
        pytest.param(
            refusal(401, {"error_code": "UNAUTHENTICATED", "message": "who?"}),
            *("UNAUTHENTICATED", f"{SERVER} refused the credentials (401)", LOGIN),
            id="credentials",
        ),
        pytest.param(
            refusal(403, b"Invalid Host header - possible DNS rebinding attack detected", "text/plain"),
            *("", f"{SERVER} refuses requests under this host name (403, Invalid Host header)", HOSTS),
            id="the name of the host",
        ),
        pytest.param(
            refusal(403, {"error_code": "PERMISSION_DENIED", "message": "not yours"}),
            *("PERMISSION_DENIED", f"{SERVER} denies access (403): not yours", LOGIN),
            id="no permission",
        ),
        pytest.param(refusal(403, b"no", "text/plain"), "", f"{SERVER} denies access (403)", LOGIN, id="without a word"),
        pytest.param(
            refusal(404, b"Not Found", "text/plain"),
            *("", f"{SERVER} answered 404 without an MLflow error code: something else may be listening there", ADDRESS),
            id="something else",
        ),
        pytest.param(
            refusal(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}),
            *("RESOURCE_DOES_NOT_EXIST", f"{SERVER} answered 404 RESOURCE_DOES_NOT_EXIST: no such model", ""),
            id="what is not there",
        ),
        pytest.param(
            refusal(400, b"[" * 60_000),
            *("", f"{SERVER} answered 400 without an MLflow error code: something else may be listening there", ADDRESS),
            id="an answer far too deep",
        ),
        pytest.param(
            refusal(400, {"error_code": "X", "message": "y" * 500}),
            "X",
            f"{SERVER} answered 400 X: {'y' * 199}…",
            "",
            id="a long word",
        ),
    ],
)
def test_what_will_not_pass_is_an_error_with_the_way_out(found, code, message, hint):
    """The whole text."""
    with pytest.raises(HttpError) as caught:
        MlflowDialect().judge(SERVER, found)
    assert (caught.value.status, caught.value.code) == (found.status, code)
    assert (caught.value.message, caught.value.hint or "") == (message, hint)
