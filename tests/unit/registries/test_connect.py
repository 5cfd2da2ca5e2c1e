"""Which tracking addresses can be asked, and by what."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mlrelease.errors import Error
from mlrelease.registries.connect import connect
from support.faulty_server import answer, faulty

TOKEN = {"MLFLOW_TRACKING_TOKEN": "tok"}
BASIC = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("env", "sent"),
    [
        pytest.param({}, None, id="no credentials"),
        pytest.param(TOKEN, "Bearer tok", id="token"),
        pytest.param(BASIC, "Basic YW5uOnA=", id="user and password"),
        pytest.param(TOKEN | BASIC, "Bearer tok", id="the token wins"),
        pytest.param({"MLFLOW_TRACKING_TOKEN": ""} | BASIC, "Basic YW5uOnA=", id="an empty token is none"),
    ],
)
def test_credentials_come_from_the_given_environment(env, sent):
    """Under MLflow's own names."""
    with faulty(answer({"model_versions": []})) as server:
        assert connect(server.url, env).versions("m") == ()
        assert server.requests[0].headers.get("Authorization") == sent


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        pytest.param("sqlite:mlflow.db", "MLflow by sqlite: is not supported", id="sqlite without slashes"),
        pytest.param("sqlite:///nowhere.db", "there is no MLflow database", id="sqlite without a file"),
        pytest.param("postgresql://ann:s3cret@[db/mlflow", "not a URL", id="half an address"),
        pytest.param("databricks://ann:s3cret@profile", "MLflow by databricks: is not supported", id="databricks"),
        pytest.param("file:///mlruns", "MLflow by file: is not supported", id="file"),
        pytest.param("mlruns", "MLflow by a folder is not supported", id="folder"),
        pytest.param("", "there is no MLflow address", id="empty"),
        pytest.param("http://", "not an http", id="no host"),
    ],
)
def test_other_addresses_are_refused_with_the_way_out(uri, text):
    """And what they hold is not shown."""
    with pytest.raises(Error, match=text) as caught:
        connect(uri, {})
    assert caught.value.hint or "http" in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/nowhere.pem"}, "names a file that does not exist"),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/etc", "MLFLOW_TRACKING_INSECURE_TLS": "true"}, "exclude each other"),
    ],
    ids=["missing certificate", "both at once"],
)
def test_tls_settings_that_make_no_sense_are_refused(env, text):
    """Before anything is sent."""
    with pytest.raises(Error, match=text):
        connect("https://mlflow.example", env)


def test_nothing_heavy_is_imported_before_a_registry_is_asked():
    """The quick commands import the port, the cache, the evidence and the gates: no requests, no MLflow."""
    program = (
        "import sys, mlrelease.registries.cache, mlrelease.registries.connect, mlrelease.registries.evidence,"
        " mlrelease.gates.evaluate; print(sorted({'requests', 'mlflow', 'tenacity', 'yaml', 'structlog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "[]\n"
