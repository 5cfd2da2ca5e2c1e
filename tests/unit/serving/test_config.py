from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact
from mlrelease.serving.config import ServeConfig, config_from_json, read_config

DIGEST = Digest("sha256:" + "a" * 64)
GOLDEN = {"schema": 1, "payload": {"inputs": [1]}, "predictions": [1.0]}
CONFIG = ServeConfig(
    service="credit",
    bundle="0123456789ab",
    image="registry.example/serve:1@" + DIGEST,
    instance="credit-1",
    runtime="python 3.11.7",
    listen="unix:/run/credit.sock",
    models=(
        Artifact("risk", "7", DIGEST, Path("/models/risk"), GOLDEN, 1e-3),
        Artifact("fraud", "1", DIGEST, Path("/models/fraud")),
    ),
    drain_s=5.0,
    log_requests=False,
    run_id="01HX",
)


def test_a_configuration_survives_its_file(tmp_path):
    """What a target writes is what the server reads."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG.to_json()))
    assert read_config(file) == CONFIG


def test_what_may_be_left_away_has_defaults():
    """Drain, logging, run id and golden predictions are optional."""
    data = CONFIG.to_json()
    for key in ("drain_s", "log_requests", "run_id"):
        del data[key]
    for key in ("golden", "golden_rtol"):
        del data["models"][0][key]
    config = config_from_json(data)
    assert (config.drain_s, config.log_requests, config.run_id) == (30.0, True, "")
    assert (config.models[0].golden, config.models[0].golden_rtol) == (None, 1e-6)


def _changed(place: tuple, value: object) -> dict:
    data = json.loads(json.dumps(CONFIG.to_json()))
    node = data
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param([], "must be an object", id="no object"),
        pytest.param({"service": "x"}, "missing bundle, image", id="missing keys, all named"),
        pytest.param(_changed(("colour",), "red"), "unknown colour", id="an unknown key"),
        pytest.param(_changed(("service",), 3), "service: must be a string", id="a number for a string"),
        pytest.param(_changed(("service",), ""), "service: must not be empty", id="an empty service"),
        pytest.param(_changed(("models",), []), "at least one model", id="no models"),
        pytest.param(_changed(("models", 1, "name"), "risk"), "each name once", id="a model twice"),
        pytest.param(_changed(("models", 0, "digest"), "sha256:zz"), "models[0].digest", id="a digest too short"),
        pytest.param(_changed(("models", 0, "version"), 7), "models[0].version: must be a string", id="an unquoted version"),
        pytest.param(_changed(("models", 0, "golden"), {"payload": {}}), "models[0].golden", id="golden without predictions"),
        pytest.param(_changed(("models", 0, "golden_rtol"), -1), "models[0].golden_rtol", id="a negative tolerance"),
        pytest.param(_changed(("models", 1), "fraud"), "models[1]: must be an object", id="a model that is a name"),
        pytest.param(_changed(("drain_s",), True), "drain_s: must be a number", id="a boolean for seconds"),
        pytest.param(_changed(("log_requests",), "no"), "log_requests: must be true or false", id="a word for a boolean"),
        pytest.param(_changed(("listen",), "unix:relative"), "listen", id="a relative socket path"),
        pytest.param(_changed(("listen",), "unix:/a\0b"), "at most 107 bytes", id="a zero in the socket's path"),
        pytest.param(_changed(("listen",), "h:" + "1" * 5000), "neither unix:/path nor host:port", id="a port without end"),
        pytest.param(_changed(("listen",), ":80"), "neither unix:/path nor host:port", id="no host"),
        pytest.param(_changed(("listen",), "h:٨٠"), "neither unix:/path nor host:port", id="digits of another script"),
        pytest.param(_changed(("drain_s",), 10**400), "drain_s: must be a number, 0 or more", id="seconds without end"),
        pytest.param(_changed(("drain_s",), float("inf")), "drain_s: must be a number, 0 or more", id="infinite seconds"),
        pytest.param(_changed(("drain_s",), float("nan")), "drain_s: must be a number, 0 or more", id="NaN for seconds"),
        pytest.param(_changed(("models", 0, "digest"), "SHA256:" + "a" * 64), "models[0].digest: not", id="capitals"),
        pytest.param(_changed(("models", 0, "digest"), DIGEST + "\n"), "models[0].digest: not", id="a line break after it"),
        pytest.param(_changed(("models", 0, "golden"), [1]), "models[0].golden: must be an object", id="golden that is a list"),
        pytest.param(
            _changed(("models", 0, "golden"), {"payload": [], "predictions": 1}), "payload (an object)", id="a list to ask"
        ),
        pytest.param(_changed(("models", 0, "path"), ""), "models[0].path: must not be empty", id="no folder"),
        pytest.param(_changed(("models",), {"risk": 1}), "models: must be a list", id="models by name"),
        pytest.param(_changed(("run_id",), None), "run_id: must be a string", id="null for a word"),
        pytest.param(_changed(("listen",), "unix:/" + "x" * 107), "at most 107 bytes", id="a socket path too long"),
        pytest.param(_changed(("listen",), "localhost"), "neither unix:/path nor host:port", id="no port"),
        pytest.param(_changed(("listen",), "localhost:99999"), "neither unix:/path nor host:port", id="a port too high"),
    ],
)
def test_a_wrong_configuration_names_the_key(data, text):
    """Nothing is guessed, and the message says which key."""
    with pytest.raises(Error) as caught:
        config_from_json(data)
    assert text in caught.value.message


@pytest.mark.parametrize(
    "content",
    [None, b"{", b"\xff", b"[" * 200_000, b"[]"],
    ids=["missing", "not JSON", "not UTF-8", "nested without end", "no object"],
)
def test_an_unreadable_file_is_named(tmp_path, content):
    """The error says which file."""
    file = tmp_path / "config.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Error) as caught:
        read_config(file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("listen", ["unix:/" + "x" * 106, "localhost:0", "[::1]:65535", "0.0.0.0:1"])
def test_every_address_that_can_be_listened_on_is_taken(listen):
    """The longest path, the first and the last port, and brackets around IPv6."""
    assert config_from_json(_changed(("listen",), listen)).listen == listen


@pytest.mark.parametrize("key", ["bundle", "image", "instance", "runtime", "run_id"])
def test_what_may_be_unknown_may_be_empty(key):
    """A server without a registry has no bundle; one without a runtime finds out."""
    assert getattr(config_from_json(_changed((key,), "")), key) == ""
