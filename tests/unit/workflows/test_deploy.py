"""The workflow `deploy` is made from the environments: their order, what waits for whom, and names that YAML would mistake."""

from __future__ import annotations

import pytest
from mlrelease.commands.shipped import WORKFLOWS as INSTALLED
from mlrelease.commands.shipped import shipped_as, vendored_files
from mlrelease.model.spec import EnvironmentSpec, SourceFile, State, TargetSpec
from mlrelease.render.workflow import PATH, Stage, deploy_workflow, quoted, stages
from mlrelease.spec.load import load
from support.workflow_rules import ROOT, WORKFLOWS, content, jobs, made

TWO = (Stage("staging", approval=False), Stage("production", approval=True, after="staging"))


def env(name, *, after="", approval=False, state=State.PRESENT):
    """An environment of which only the order matters."""
    target = TargetSpec(kind="local", listen="127.0.0.1:8080")
    return EnvironmentSpec(name, "", "", target, promotes_from=after, approval_required=approval, state=state)


@pytest.mark.parametrize(
    ("environments", "order"),
    [
        ([env("production")], ["production"]),
        ([env("production", after="staging"), env("staging")], ["staging", "production"]),
        ([env("a", after="b"), env("b", after="c"), env("c")], ["c", "b", "a"]),
        ([env("eu", after="staging"), env("us", after="staging"), env("staging")], ["staging", "eu", "us"]),
        ([env("b"), env("a")], ["a", "b"]),
        ([env("production", after="gone")], ["production"]),
        ([env("old", state=State.ABSENT), env("production", after="old")], ["production"]),
        ([env("a", after="b"), env("b", after="a")], ["b", "a"]),
        ([env("a", after="a")], ["a"]),
        ([], []),
    ],
    ids=[
        "one alone",
        "the source before what promotes from it",
        "a chain from its beginning",
        "two that promote from the same come after it, by name",
        "by name where nothing orders them",
        "a source that is not there orders nothing",
        "one to be removed is not waited for",
        "a circle names each once",
        "one that promotes from itself",
        "none",
    ],
)
def test_the_order_of_environments(environments, order):
    """What moves forward moves in this order, so it is waited for in this order."""
    found = stages(environments)
    assert [stage.name for stage in found] == order
    places = {stage.name: place for place, stage in enumerate(found)}
    for stage in found:
        # in a circle one of the two must wait for nobody
        assert not stage.after or places[stage.after] < places[stage.name] or len(order) == 2


def test_a_source_that_is_not_there_is_waited_for_by_nobody():
    """`needs` of a job that does not exist would make the whole workflow invalid."""
    assert stages([env("production", after="gone")]) == (Stage("production", approval=False),)


def test_no_workflow_without_environments():
    """One without jobs is invalid."""
    assert deploy_workflow("x", [], branch="main") == b""


def test_two_environments_of_which_one_waits_for_an_approval():
    """staging, then the plan, then the gate, then the receipt."""
    found = jobs(made(*TWO))
    assert list(found) == ["deploy-staging", "plan-production", "approve-production", "deploy-production", "all-green"]
    assert "needs" not in found["deploy-staging"]
    assert found["plan-production"]["needs"] == "deploy-staging"
    assert found["approve-production"]["needs"] == "plan-production"
    assert found["deploy-production"]["needs"] == ["plan-production", "approve-production"]
    assert found["all-green"]["needs"] == ["deploy-staging", "deploy-production"]
    assert found["all-green"]["if"] == "always()"


def test_only_the_gate_is_behind_the_protected_environment():
    """The plan is read before; a rollback, which needs no approval, must not wait for a reviewer."""
    found = jobs(made(*TWO))
    behind = {name for name, job in found.items() if job.get("environment") == "production"}
    assert behind == {"approve-production"}
    assert found["approve-production"]["if"] == "needs.plan-production.outputs.approval == 'required'"
    assert "skipped" in found["deploy-production"]["if"]
    assert "!cancelled()" in found["deploy-production"]["if"]


@pytest.mark.parametrize(
    ("job", "verbs"),
    [
        ("deploy-staging", ["mlrelease wait staging --record", "mlrelease history staging --kpi"]),
        ("plan-production", ["mlrelease --output json plan production > plan.json || [ $? -eq 5 ]"]),
        ("approve-production", ['mlrelease approve production --plan plan.json --run "$GITHUB_RUN_ID"']),
        ("deploy-production", ["mlrelease wait production --record", "mlrelease history production --kpi"]),
    ],
)
def test_each_job_calls_its_verbs(job, verbs):
    """And nothing else in a shell."""
    assert [step["run"] for step in jobs(made(*TWO))[job]["steps"] if "run" in step] == verbs


def test_the_figures_are_told_of_a_deployment_that_went_wrong_too():
    """They are what says how often that happens."""
    for name in ("staging", "production"):
        assert jobs(made(*TWO))[f"deploy-{name}"]["steps"][-1]["if"] == "!cancelled()"


def test_each_environment_has_its_own_group_that_cancels_nothing():
    """Two environments never hold each other up; a push never ends a wait under way."""
    found = jobs(made(*TWO))
    for name in ("staging", "production"):
        assert found[f"deploy-{name}"]["concurrency"] == {"group": f"deploy-{name}", "cancel-in-progress": False}
    assert "concurrency" not in found["approve-production"]


def test_the_tip_of_the_branch_is_checked_out_and_not_the_commit_of_the_event():
    """An old run that is run again sees what is wanted now."""
    for name, job in jobs(made(*TWO)).items():
        for step in job["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["ref"] == "main", name


@pytest.mark.parametrize("name", ["on", "true", "123", "1e3", "null", "all-green", "plan"])
def test_names_that_yaml_would_take_for_something_else(name):
    """They stay the names of an environment."""
    found = jobs(made(Stage(name, approval=True)))
    assert found[f"approve-{name}"]["environment"] == name
    assert found[f"deploy-{name}"]["concurrency"]["group"] == f"deploy-{name}"
    assert str(found[f"deploy-{name}"]["name"]) in (name, str(found[f"deploy-{name}"]["name"]))
    assert isinstance(found[f"deploy-{name}"]["name"], str)


@pytest.mark.parametrize("branch", ["main", "release/2.x", "on", "123", "a b", 'quo"te', "{{x}}", "[[ branch ]]", "-x"])
def test_the_branch_stays_that_branch(branch):
    """Whatever git allows as a name."""
    document = content(made(*TWO, branch=branch))
    assert document["on"]["push"]["branches"] == [branch]
    assert content(f"x: {quoted(branch)}")["x"] == branch


def test_a_template_that_names_what_is_not_there_fails():
    """And is not filled with nothing."""
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        deploy_workflow("[[ nobody ]]", TWO, branch="main")


def test_a_template_cannot_reach_out_of_its_sandbox():
    """Rendered text is data, also where somebody changes the template."""
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        deploy_workflow("[[ stages.__class__.__mro__ ]]", TWO, branch="main")


def test_the_projects_own_is_made_from_its_environments(update_golden):
    """`.github/workflows/deploy.yml` is not written by hand."""
    files = {
        path.relative_to(ROOT).as_posix(): SourceFile(path.read_bytes()) for path in (ROOT / "environments").rglob("*.yaml")
    }
    wanted = vendored_files(load(files).environments.values())[PATH]
    if update_golden:
        (ROOT / PATH).write_bytes(wanted)
    assert (ROOT / PATH).read_bytes() == wanted


def test_the_installed_workflows_wait_for_the_repositorys_branch():
    """Where that is not `main`, no `main` is left."""
    files = vendored_files([env("production")], branch="trunk")
    for name in (*INSTALLED, "deploy"):
        events = content(files[f".github/workflows/{name}.yml"].decode())["on"]
        if "push" in events:
            assert events["push"]["branches"] == ["trunk"], name


def test_every_installed_workflow_is_one_of_the_projects():
    """Not a copy that could fall behind."""
    files = vendored_files([env("production")])
    for name in INSTALLED:
        assert files[f".github/workflows/{name}.yml"] == (WORKFLOWS / f"{name}.yml").read_bytes()
    assert not {f".github/workflows/{name}.yml" for name in ("ci", "e2e", "package")} & set(files)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (".github/workflows/validate.yml", ".github/workflows/validate.yml"),
        (".github/actions/setup-mlrelease/action.yml", ".github/actions/setup-mlrelease/action.yml"),
        (".github/zizmor.yml", ".github/zizmor.yml"),
        (".github/CODEOWNERS", "templates/github/CODEOWNERS"),
        ("templates/schemas/model.v1.json", "templates/schemas/model.v1.json"),
    ],
)
def test_where_the_installed_original_lies(path, place):
    """What `init --upgrade` compares with."""
    assert shipped_as(path) == ROOT / place
    assert path in vendored_files([env("production")])
    assert (ROOT / place).read_bytes() == vendored_files([env("production")])[path]


def test_what_is_made_has_no_original():
    """There is nothing to compare with."""
    assert shipped_as(PATH) is None
