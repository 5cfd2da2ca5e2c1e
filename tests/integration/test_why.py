"""From a real answer to the data behind it: a real MLflow, real passes, a rollback, and the questions asked by the program.

The past is made once: version 1, version 2 (trained in a run that logged its data), and back by a revert.
"""

from __future__ import annotations

import json
import time
import urllib.request

import pytest
from mlrelease.commands.output import emit
from mlrelease.commands.why import WhyOptions, why
from mlrelease.model.when import iso
from support.estate import Estate
from support.mlflow_server import running_mlflow
from support.program import program

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("why"), pytest.mark.timeout(600)]


def trained(uri):
    """Version 3 of wine, in a run that says what it was trained with; its run's id."""
    import mlflow
    from mlflow.data import from_pandas
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    rows, classes = load_wine(return_X_y=True, as_frame=True)
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_name="retrain") as run:
        mlflow.log_params({"C": 0.5, "api_token": "hunter2"})
        mlflow.log_metric("accuracy", 0.97)
        mlflow.log_input(from_pandas(rows, source="https://ada:s3cret@data.example.com/wine.csv", name="vintage"), "training")
        mlflow.set_tag("mlflow.source.git.commit", "c0ffee" + "0" * 34)
        mlflow.sklearn.log_model(
            LogisticRegression(C=0.5, max_iter=50).fit(rows, classes),
            name="model",
            registered_model_name="wine",
            input_example=rows.head(5),
            pip_requirements=["scikit-learn"],
        )
    return run.info.run_id


def answer(estate):
    """A prediction through the proxy as `curl -i` prints it, with all of its headers."""
    from sklearn.datasets import load_wine

    rows = load_wine(as_frame=True).data.head(1)
    split = {"columns": list(rows.columns), "data": rows.to_numpy().tolist()}
    body = json.dumps({"dataframe_split": split}).encode()
    request = urllib.request.Request(
        f"{estate.url}/wine/invocations", data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as found:
        head = "".join(f"{name}: {value}\r\n" for name, value in found.getheaders())
        return f"HTTP/1.1 {found.status} OK\r\n{head}\r\n{found.read().decode()}"


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """The estate, what it answered while version 3 served, and the moments."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as uri:
        estate = Estate(tmp_path_factory.mktemp("y"), uri)
        try:
            estate.create()
            yield lived(estate, trained(uri))
        finally:
            estate.down()


def lived(estate, run):
    """Three deploys, and what was seen between them."""
    began = time.time()
    estate.cli("deploy", "production", cwd=estate.host)
    one = time.time()
    estate.cli("bump", "production", "wine", "--to", "3", "--no-commit")
    commit = estate.commit("Pin wine 3 in production (#41)")
    estate.cli("deploy", "production", cwd=estate.host)
    answered, three = answer(estate), time.time()
    estate.revert(commit)
    estate.cli("deploy", "production", cwd=estate.host)
    moments = {"began": began, "one": one, "three": three}
    return {"estate": estate, "run": run, "commit": commit, "answered": answered} | moments


def at(past, moment):
    found = past["estate"].json("at", "production", iso(past[moment]))
    return found["services"]["wine"]


def test_what_served_at_each_moment(past):
    """Before, with version 1, with version 3, and now after the revert."""
    assert (at(past, "began")["certainty"], at(past, "began")["bundle"]) == ("unrecorded", None)
    for moment, version in (("one", "1"), ("three", "3")):
        found = at(past, moment)
        assert found["certainty"] == "recorded"
        assert [model["version"] for model in found["bundle"]["models"]] == [version]
    found = at(past, "three")
    assert (found["commits"]["model:wine"]["sha"], found["commits"]["model:wine"]["pull"]) == (past["commit"], 41)
    now = past["estate"].json("at", "production", "now")["services"]["wine"]
    assert (now["bundle"]["models"][0]["version"], now["until"]) == ("1", "")


def test_the_switch_lies_within_seconds(past):
    """The real steps narrow it down: both bundles are named for a part of the pass, and not for all of it."""
    events = past["estate"].json("history", "production", "--limit", "99")["events"]
    finished = [event for event in events if event["kind"] == "deploy_finished"][1]
    steps = finished["services"]["wine"]["steps"]
    names = [step["name"] for step in steps]
    before = sum(step["seconds"] for step in steps[: names.index("switch")])
    from mlrelease.model.when import from_iso

    early = iso(from_iso(finished["started_at"]) + before / 2)
    late = iso(from_iso(finished["finished_at"]) - steps[-1]["seconds"] / 2)
    versions = []
    for moment in (early, late):
        found = past["estate"].json("at", "production", moment)["services"]["wine"]
        assert found["certainty"] == "recorded"
        versions.append(found["bundle"]["models"][0]["version"])
    assert versions == ["1", "3"]


def test_a_real_answer_leads_to_commit_run_and_data(past):
    """Out of the headers that the proxy and the server wrote."""
    estate = past["estate"]
    given = past["answered"].encode()
    words = ("--output", "json", "why", "--request", "-")
    done = program(*words, cwd=estate.laptop, environ=estate.environ(), timeout=120, given=given)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    (explanation,) = data["explanations"]
    component = explanation["components"]["model:wine"]
    assert data["request"]["version"] == "3"
    assert data["request"]["revision"] == past["commit"]
    assert component["commit"]["sha"] == past["commit"]
    assert component["pull"]["number"] == 41
    run = component["run"]
    assert (run["id"], run["name"], run["git_commit"]) == (past["run"], "retrain", "c0ffee" + "0" * 34)
    assert run["metrics"]["accuracy"] == 0.97
    assert run["params"] == {"C": "0.5", "api_token": "***"}
    (dataset,) = run["datasets"]
    assert (dataset["name"], dataset["context"]) == ("vintage", "training")
    assert "data.example.com/wine.csv" in dataset["source"]
    assert "s3cret" not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert component["golden"]["rows"] == 5
    assert {gate["status"] for gate in component["gates"]} == {"passed"}
    assert [one["what"] for one in component["since"]] == ["rolled_back"]
    assert explanation["serves_now"] is False


def test_what_serves_now_came_back_and_was_proved_before(past):
    """The revert is its commit, the first deploy its first proof; as a table, with each source."""
    out = past["estate"].cli("why", "production", "--model", "wine").stdout
    assert 'Revert "Pin wine 3 in production (#41)"' in out
    assert "first proved" in out
    assert "a rollback waits for none" in out
    assert "pull request" not in out.partition("rollback waits")[0].partition("commit")[2]


def test_a_dead_registry_takes_its_own_lines_only(past):
    """MLflow is gone: everything else is told, within its deadline."""
    estate = past["estate"]
    file = estate.laptop / "environments/production/environment.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace(estate.uri, "http://127.0.0.1:9"))
        estate.commit("Another MLflow")
        began = time.monotonic()
        (explanation,) = estate.json("why", "production")["explanations"]
        assert time.monotonic() - began < 60
    finally:
        file.write_text(before)
        estate.commit("Back")
    component = explanation["components"]["model:wine"]
    assert "did not answer" in component["run_problem"]
    assert component["commit"]


def test_the_figures_of_a_real_past(past, tmp_path, monkeypatch, capsys):
    """Counted by hand; in Actions the summary has them as Markdown."""
    data = past["estate"].json("history", "production", "--kpi")
    kpis = data["kpis"]
    assert (kpis["deployments"], kpis["change_failures"], kpis["failed_by"]) == (
        2,
        {"part": 1, "of": 2, "rate": 0.5},
        {"undone": 1},
    )
    assert kpis["rollback_seconds"]["n"] == 1
    assert kpis["rollback_seconds"]["longest"] <= kpis["rollback_from_commit"]["longest"]
    assert kpis["lead_time_landed"]["n"] == 2
    assert {"artifacts", "start", "ready", "identity", "golden", "switch", "proof", "drain", "retire"} <= set(kpis["steps"])
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = past["estate"].cli("history", "production", "--kpi", "--since", "1d")
    assert done.stdout.startswith("production: deployments 2, failed changes 1 of 2")
    assert "| service | deployments |" in summary.read_text()
    assert emit(why(past["estate"].workspace(), "production", WhyOptions(offline=True)), output="table") == 0
    assert "| environment | about | what | source |" in summary.read_text()
    capsys.readouterr()
