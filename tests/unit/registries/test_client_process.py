"""The child that asks through `mlflow`: what it is given, how it ends, and what it never says."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.registries import client_process, client_worker
from mlrelease.registries.client_process import ClientProcess
from mlrelease.registries.connect import connect

SECRET = "p@ss/w0rd"
ADDRESS = "postgresql://ann:p%40ss%2Fw0rd@db.example:5432/mlflow?sslmode=require"


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Makes the child run the given program in the worker's place."""

    def use(text):
        program = tmp_path / "program.py"
        program.write_text("import json, os, sys, time\n" + text)
        runner = tmp_path / "python"
        runner.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        runner.chmod(0o755)
        monkeypatch.setattr(client_process.sys, "executable", str(runner))

    return use


ECHO = """
first = json.loads(sys.stdin.readline())
print(json.dumps({"value": None}), flush=True)
for line in sys.stdin:
    print(json.dumps({"value": [first, json.loads(line), dict(os.environ), os.getcwd(), sys.argv, os.getpid()]}), flush=True)
"""


def test_the_address_goes_by_standard_input_alone(stand_in):
    """Arguments and environment can be read by others on the machine."""
    stand_in(ECHO)
    first, request, environment, folder, arguments, _ = ClientProcess({}, uri=ADDRESS).ask("models", a=1)
    assert (first, request) == ({"uri": ADDRESS}, {"do": "models", "a": 1})
    assert "w0rd" not in " ".join([*arguments, *environment.values()])
    assert folder == "/"


def test_the_child_gets_the_given_credentials_and_nobody_elses(stand_in, monkeypatch):
    """Those of the caller's environment are not taken, its tracking address neither; telemetry is off, retries are few."""
    stand_in(ECHO)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the caller")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    before = dict(os.environ)
    given = {"AWS_ACCESS_KEY_ID": "given", "MLFLOW_TRACKING_TOKEN": "not for the child", "AWS_MAX_ATTEMPTS": "7"}
    environment = ClientProcess(given).ask("models")[2]
    assert environment["AWS_ACCESS_KEY_ID"] == "given"
    assert environment["AWS_MAX_ATTEMPTS"] == "7"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert not {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"} & set(environment)
    assert dict(os.environ) == before


def test_one_child_answers_all_questions_and_ends_with_its_owner(stand_in):
    """It is started by the first question only."""
    stand_in(ECHO)
    client = ClientProcess({})
    pids = {client.ask("models")[5] for _ in range(3)}
    assert len(pids) == 1
    del client
    with pytest.raises(ProcessLookupError):
        os.kill(pids.pop(), 0)


def test_a_child_that_does_not_answer_is_ended_in_time(stand_in):
    """And the next question starts another."""
    stand_in(ECHO.replace("for line in sys.stdin:", "for line in sys.stdin:\n    time.sleep(60 if 'slow' in line else 0)"))
    client = ClientProcess({}, uri=ADDRESS, where="postgresql://db.example:5432/mlflow")
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        client.ask("slow", within_s=0.3)
    assert time.monotonic() - began < 5
    assert caught.value.message == "postgresql://db.example:5432/mlflow did not answer within 0.3 s"
    assert client.ask("models")[1] == {"do": "models"}


@pytest.mark.parametrize(
    ("program", "text"),
    [
        pytest.param("sys.exit(3)", "the mlflow client cannot be used|exit code 3|did not start", id="at once"),
        pytest.param(
            "sys.stdin.readline(); print('{\"value\": null}', flush=True); sys.stdin.readline(); sys.exit('out of luck')",
            "the mlflow client ended with exit code 1: out of luck",
            id="at the first question",
        ),
    ],
)
def test_a_child_that_ends_is_an_error(stand_in, program, text):
    """With the last line that it wrote."""
    stand_in(program)
    with pytest.raises(Error, match=text):
        ClientProcess({}).ask("models")


@pytest.mark.parametrize(
    ("said", "kind"),
    [(["unavailable", "no route to ann:p@ss/w0rd@db", "later"], UnavailableError), (["error", "bad p%40ss%2Fw0rd", ""], Error)],
    ids=["passing", "for good"],
)
def test_what_the_client_says_is_shown_without_the_password(stand_in, said, kind):
    """In neither of its spellings."""
    answers = f"for line in sys.stdin: print({json.dumps({'error': said})!r}, flush=True)"
    stand_in(f"sys.stdin.readline(); print('{{\"value\": null}}', flush=True)\n{answers}")
    with pytest.raises(kind) as caught:
        ClientProcess({}, uri=ADDRESS).ask("models")
    assert "***" in caught.value.message
    assert "w0rd" not in caught.value.message


@pytest.mark.parametrize(
    ("raised", "kind", "text", "hint"),
    [
        pytest.param(
            ModuleNotFoundError("No module named 'boto3'", name="boto3"), "error", "boto3", "pip install boto3", id="a package"
        ),
        pytest.param(
            ModuleNotFoundError("No module named 'mlflow'", name="mlflow"),
            *("error", "mlflow", "pip install 'mlrelease[mlflow]'"),
            id="mlflow itself",
        ),
        pytest.param(UnavailableError("silent", hint="later"), "unavailable", "silent", "later", id="ours, passing"),
        pytest.param(Error("broken", hint="mend it"), "error", "broken", "mend it", id="ours, for good"),
        pytest.param(ConnectionRefusedError("refused"), "unavailable", "refused", "is it running", id="no connection"),
        pytest.param(ValueError("odd"), "error", "odd", "", id="anything else"),
        pytest.param(ValueError(), "error", "ValueError", "", id="anything else without a word"),
    ],
)
def test_what_a_library_raises_is_an_answer(raised, kind, text, hint):
    """The child goes on."""

    def work():
        raise raised

    found, message, advice = client_worker._answer(work)["error"]
    assert found == kind
    assert text in message
    assert hint in advice


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        pytest.param("sqlite:///mlflow.db", "there is no MLflow database", id="no file"),
        pytest.param("sqlite:///", "there is no MLflow database", id="a folder"),
    ],
)
def test_no_database_is_made_where_none_is(tmp_path, uri, text):
    """The client would make one, and find no model in it."""
    with pytest.raises(Error, match=text) as caught:
        connect(uri, {}, base=lambda: tmp_path)
    assert caught.value.where.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
