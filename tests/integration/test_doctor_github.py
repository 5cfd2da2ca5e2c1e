"""`mlrelease doctor` as a process, on a repository on GitHub: a person's shell, a workflow's job, a real image registry."""

from __future__ import annotations

import json
import os

import pytest
from mlrelease.commands.doctor.checks import WHY, WHY_GITHUB
from mlrelease.model.bundle import ImagePin
from mlrelease.model.spec import TargetKind
from support.docker_registry import PROGRAM, push, running_docker_registry
from support.doctor_hub import NAME, unspoilt, well
from support.estate import free_port
from support.program import program
from support.repositories import git

pytestmark = [pytest.mark.xdist_group("doctor-process"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def well_ward(tmp_path_factory):
    """A repository with everything right, cloned over HTTP with a token in the remote's address."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("ward")
    (folder / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n")
    patch.setenv("HOME", str(folder))
    with well(folder) as ward:
        path = "environments/production/environment.yaml"
        listen = f"listen: 127.0.0.1:{free_port()}\n  state_dir: {folder / 'st'}"
        ward.push(path, ward.clone.read(path).replace("listen: 127.0.0.1:8080", listen))
        git(ward.clone.root, "remote", "set-url", "origin", ward.hub.git_url(NAME, token=ward.token))
        yield ward
    patch.undo()


@pytest.fixture
def ward(well_ward):
    """It, put back afterwards."""
    with unspoilt(well_ward) as ward:
        yield ward


def doctor(ward, mlflow_uri, *words, **variables):
    """The process: exit code, JSON, everything that it said."""
    known = {"MLFLOW_TRACKING_URI": mlflow_uri, **ward.variables, **variables}
    environ = {name: value for name, value in {**os.environ, **known}.items() if value}
    done = program("--output", "json", "doctor", *words, cwd=ward.clone.root, environ=environ, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stdout + done.stderr


def states(found, table):
    """The states of the checks of one table, by id."""
    return {check["check"]: check["state"] for check in found["checks"] if check["check"] in table}


@pytest.mark.slow
def test_a_person_finds_everything_well(ward, mlflow_uri):
    """Local half and GitHub's: nothing is bad, exit 0, and the token in the remote's address stays there."""
    code, found, said = doctor(ward, mlflow_uri)
    assert (code, found["counts"]["bad"]) == (0, 0), found["checks"]
    assert states(found, WHY_GITHUB) == dict.fromkeys(WHY_GITHUB, "ok")
    assert set(states(found, WHY)) == set(WHY)
    assert (states(found, WHY)["git-remote"], states(found, WHY)["mlflow"]) == ("ok", "ok")
    assert ward.token not in said
    (remote,) = (check["what"] for check in found["checks"] if check["check"] == "git-remote")
    assert remote.startswith("origin: http://127.0.0.1:")
    assert remote.endswith(f"/{NAME}.git")


@pytest.mark.slow
def test_what_is_bad_fails(ward, mlflow_uri):
    """Exit 1, and the way out is the next command."""
    next(known for known in ward.state.rulesets.values() if "append-only" in known["name"])["enforcement"] = "disabled"
    code, found, _ = doctor(ward, mlflow_uri)
    assert (code, found["exit_code"]) == (1, 1)
    assert {id_ for id_, state in states(found, WHY_GITHUB).items() if state == "bad"} == {"ledger-rules"}
    assert found["next"] == f"gh api repos/{NAME}/rulesets --input .github/rulesets/ledger.json"


@pytest.mark.slow
def test_a_workflows_job_sees_what_its_token_may(ward, mlflow_uri, tmp_path):
    """GITHUB_TOKEN never reads secrets and administration: unknown, exit 0; the summary is Markdown without the token."""
    summary = tmp_path / "summary.md"
    job = ward.hub.environment_variables(NAME) | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    code, found, said = doctor(ward, mlflow_uri, **dict.fromkeys(ward.variables, ""), **job)
    assert code == 0, found["checks"]
    unknown = {id_ for id_, state in states(found, WHY_GITHUB).items() if state == "unknown"}
    assert unknown == {"branch-bypass", "repository-secrets", "actions-policy", "actions-token"}
    token = next(check for check in found["checks"] if check["check"] == "github-token")
    assert "an installation's token from GITHUB_TOKEN" in token["what"]
    written = summary.read_text()
    assert written.startswith("### local and acme/models: ")
    assert ward.hub.actions_token not in written + said


@pytest.mark.slow
def test_without_a_token_the_local_half_stays(ward, mlflow_uri):
    """One line says what was not asked, and what to set."""
    code, found, _ = doctor(ward, mlflow_uri, MLRELEASE_GITHUB_TOKEN="")
    assert code == 0, found["checks"]
    assert states(found, WHY_GITHUB) == {"github-token": "skipped"}
    assert found["github"] == {"asked": False, "reason": f"there is no token for {NAME}", "repository": NAME}
    assert ward.hub.count("GET", f"/repos/{NAME}") == 0


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no docker-registry on this machine")
def test_a_real_image_registry(ward, mlflow_uri, tmp_path):
    """The pinned digest is found there, and missed when it is another."""
    path = "environments/production/services/wine.yaml"
    image = ward.production.services["wine"].image.reference
    assert ward.production.target.kind is TargetKind.LOCAL
    with running_docker_registry(tmp_path) as host:
        digest = push(host, "acme/serve", "1.0.0")
        there = f"{host}/acme/serve:1.0.0@{digest}"
        ward.push(path, ward.clone.read(path).replace(image, there))
        _, found, _ = doctor(ward, mlflow_uri, "--images")
        assert states(found, WHY)["image"] == "ok"
        gone = f"{host}/acme/serve:1.0.0@{ImagePin(image).digest}"
        ward.push(path, ward.clone.read(path).replace(there, gone))
        _, found, _ = doctor(ward, mlflow_uri, "--images")
        assert states(found, WHY)["image"] == "warn"
