"""A team that adopts the tool, over a real MLflow and real git: new files, import, doctor, gc, and the upgrade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlrelease.commands.doctor.checks import WHY
from support.estate import free_port
from support.mlflow_server import register
from support.newcomer import IMAGE
from support.program import program
from support.repositories import git


@dataclass
class Team:
    """A laptop with a fresh repository, and two models that MLflow serves as `champion` today."""

    root: Path
    uri: str
    first: str
    second: str

    @property
    def laptop(self) -> Path:
        return self.root / "lap"

    def cli(self, *words: str, expect: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        known = {**os.environ, "MLFLOW_TRACKING_URI": self.uri, "XDG_CACHE_HOME": str(self.root / "cache")}
        done = program(*words, cwd=cwd or self.laptop, environ=known, timeout=180)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, expect: int = 0) -> dict:
        return json.loads(self.cli("--output", "json", *words, expect=expect).stdout)


@pytest.fixture(scope="module")
def team(tmp_path_factory, mlflow_uri):
    """Version 2 of the first model and version 1 of the second have the alias."""
    from mlflow import MlflowClient
    from pandas import DataFrame
    from sklearn.dummy import DummyClassifier

    rows = DataFrame({"a": [0.0, 1.0]})
    names = [f"{base}-{letter}" for base in (f"team-{uuid.uuid4().hex[:6]}",) for letter in "ab"]
    for name, version in ((names[0], 1), (names[0], 2), (names[1], 1)):
        model = DummyClassifier(strategy="constant", constant=version).fit(rows, [1, 2])
        register(mlflow_uri, name, model, input_example=rows)
    client = MlflowClient(mlflow_uri)
    client.set_registered_model_alias(names[0], "champion", "2")
    client.set_registered_model_alias(names[1], "champion", "1")
    client.set_registered_model_alias(names[1], "other", "1")
    root = tmp_path_factory.mktemp("t")
    made = Team(root, mlflow_uri, *names)
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", "o.git")
    state, port = str(root / "st"), free_port()
    made.cli("init", "lap", "--remote", "../o.git", "--listen", f"127.0.0.1:{port}", "--state-dir", state, cwd=root)
    return made


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
@pytest.mark.timeout(600)
def test_a_team_adopts_what_it_serves_today(team):
    """An environment and a service, then every champion is pinned by version and digest, each in one commit."""
    team.cli("new", "environment", "staging", "--like", "production", "--alias", "challenger")
    team.cli("new", "service", "staging", "scores", "--image", IMAGE, "--replicas", "2")
    shown = team.json("import", "staging", "--alias", "champion", "--service", "scores", "--dry-run")
    wanted = {team.first: "2", team.second: "1"}
    mine = {m["model"]: m["after"] for m in shown["models"] if m["model"] in wanted}
    assert mine == wanted
    names = ("--model", team.first, "--model", team.second)
    done = team.json("import", "staging", "--alias", "champion", "--service", "scores", *names)
    assert [(m["what"], "rows stored in the ledger" in m["reason"]) for m in done["models"]] == [("added", True)] * 2
    assert team.cli("validate", "--offline").stdout
    again = team.json("import", "staging", "--alias", "champion", "--service", "scores", *names)
    assert {m["what"] for m in again["models"]} == {"pinned"}
    subjects = git(team.laptop, "log", "--format=%s", "-4").splitlines()
    assert subjects == [
        f"Pin {team.second} 1 in staging",
        f"Pin {team.first} 2 in staging",
        "Add the service scores to staging",
        "Add the environment staging",
    ]
    assert git(team.laptop, "status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
@pytest.mark.timeout(600)
def test_a_new_model_has_the_digest_that_bump_writes(team):
    """Both hash the same bytes: after `new model`, `bump` to the same version has nothing to do."""
    team.cli("new", "model", "production", team.first, "--service", "wine", "--version", "1")
    said = team.cli("bump", "production", team.first, "--to", "1").stdout
    assert "already pinned: nothing to do" in said
    missing = team.cli("new", "model", "production", "nobody-registered-this", "--service", "wine", expect=1)
    assert "there is no registered model" in missing.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
def test_the_registry_lists_models_and_follows_aliases(team):
    """Over REST: every name once, prompts not among them, and None for an alias that a model does not have."""
    import mlflow
    from mlrelease.registries.connect import connect

    mlflow.set_tracking_uri(team.uri)
    prompt = f"prompt-{uuid.uuid4().hex[:6]}"
    mlflow.genai.register_prompt(name=prompt, template="Say {{it}}")
    registry = connect(team.uri, {})
    names = registry.models()
    assert {team.first, team.second} <= set(names)
    assert prompt not in names
    assert list(names) == sorted(set(names))
    facts = registry.alias(team.first, "champion")
    assert facts is not None
    assert (facts.name, facts.version) == (team.first, "2")
    assert registry.alias(team.first, "nobody") is None
    assert registry.alias("nobody-registered-this", "champion") is None


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
@pytest.mark.timeout(600)
def test_the_doctor_finds_this_machine_well(team):
    """Against a real MLflow and a real remote: every check answers, none is bad, nothing is made."""
    team.cli("new", "environment", "qa", "--no-commit", "--listen", f"127.0.0.1:{free_port()}")
    (team.laptop / "environments/qa/environment.yaml").unlink()
    git(team.laptop, "checkout", "--quiet", "--", ".github", ".mlrelease")
    (team.laptop / "environments/qa").rmdir()
    found = team.json("doctor", "production")
    states = {check["check"]: check["state"] for check in found["checks"]}
    assert set(states) == set(WHY)
    for check in ("git", "git-branch", "git-push", "packages", "envoy", "supervisor"):
        assert states[check] == "ok", found["checks"]
    for check in ("variables", "mlflow", "mlflow-version", "credentials", "clock", "port", "state-dir"):
        assert states[check] == "ok", found["checks"]
    assert found["counts"]["bad"] == 0
    assert not (team.root / "st").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
@pytest.mark.timeout(600)
def test_gc_frees_the_laptops_cache(team):
    """What `new` and `import` fetched goes by age; an environment that does not run here is no failure."""
    found = team.json("gc", "--days", "0", "--dry-run")
    cached = [place for place in found["places"] if place["where"] == "user cache"]
    assert [place["kind"] for place in cached] == ["artifacts"]
    assert found["freed_bytes"] > 1000
    freed = team.json("gc", "--days", "0")
    assert freed["freed_bytes"] == found["freed_bytes"]
    assert team.json("gc", "--days", "0")["freed_bytes"] == 0


@pytest.mark.slow
@pytest.mark.xdist_group("newcomer")
@pytest.mark.timeout(600)
def test_a_verb_that_is_killed_is_simply_run_again(team):
    """SIGKILL at whatever moment: the next run leaves a clean tree and exactly one commit for the pin."""
    path = team.laptop / f"environments/production/models/{team.second}.yaml"
    words = [sys.executable, "-m", "mlrelease.cli", "new", "model", "production", team.second, "--service", "wine"]
    environ = {**os.environ, "MLFLOW_TRACKING_URI": team.uri, "XDG_CACHE_HOME": str(team.root / "cache")}
    process = subprocess.Popen(words, cwd=team.laptop, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdout.readline()  # it has said that it reads the artifacts
    process.kill()
    process.communicate(timeout=60)
    if not path.exists() or git(team.laptop, "status", "--porcelain"):
        team.cli("new", "model", "production", team.second, "--service", "wine")
    assert git(team.laptop, "status", "--porcelain") == ""
    assert git(team.laptop, "log", "--format=%s", "--", str(path)).splitlines() == [f"Pin {team.second} 1 in production"]
