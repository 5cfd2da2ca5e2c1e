"""Parts of the workflows, executed by act alone: the setup action, exit codes, `all-green`, and what the end of a job ends."""

from __future__ import annotations

import os
import re

import psutil
import pytest
from mlrelease.files import version
from mlrelease.render.workflow import Stage
from support.runner_desk import Desk, program
from support.workflow_rules import made

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflows-parts"), pytest.mark.timeout(300)]

TWO = (Stage("staging", approval=False), Stage("production", approval=True, after="staging"))
SETUP = """\
name: setup
on: push
permissions: {}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
      - uses: ./.github/actions/setup-mlrelease
        with: {extras: serve}
      - run: mlrelease --version
"""


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path).create()


def test_the_version_on_path_is_taken_when_it_is_the_wanted_one(desk):
    """Nothing is installed then."""
    desk.write(".github/workflows/setup.yml", SETUP)
    run = desk.run("setup")
    assert run.green, run.text
    assert ("one", version()) in run.lines
    assert "set-output what" in run.commands
    assert "pip" not in run.text.partition("mlrelease --version")[0].replace("action.yml", "")


@pytest.mark.parametrize(
    ("pinned", "wanted"),
    [
        ("9.9.9\n", "mlrelease[serve]==9.9.9"),
        ("9.9.9rc1+local.2", "mlrelease[serve]==9.9.9rc1+local.2"),
        (None, r".*\[serve\]"),
    ],
    ids=["another version", "a version with all its parts", "a checkout of mlrelease itself"],
)
def test_another_version_is_installed_as_pinned(desk, tmp_path, pinned, wanted):
    """By pip, with the extras, in one word."""
    desk.write(".github/workflows/setup.yml", SETUP.replace("      - run: mlrelease --version\n", ""))
    if pinned is None:
        (desk.tree / ".mlrelease-version").unlink()
        desk.write("VERSION", "9.9.9\n")
    else:
        desk.write(".mlrelease-version", pinned)
    program(tmp_path / "bin", "python", f'printf "%s\\n" "$@" > {tmp_path}/asked')
    run = desk.run("setup", PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert run.green, run.text
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:3] == ["-m", "pip", "install"]
    assert re.fullmatch(wanted if pinned is None else re.escape(wanted), asked[-1])


@pytest.mark.parametrize(
    "pinned", ["", "latest", "1.0; touch x", "-r requirements.txt", "1.0 @ http://127.0.0.1:9/x.whl", "$(id)", "../x"], ids=repr
)
def test_what_is_no_version_stops_the_job(desk, tmp_path, pinned):
    """With an annotation, and before pip is called."""
    desk.write(".github/workflows/setup.yml", SETUP)
    desk.write(".mlrelease-version", pinned)
    program(tmp_path / "bin", "python", f"touch {tmp_path}/asked")
    run = desk.run("setup", PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert run.jobs == {"one": "failure"}
    assert not (tmp_path / "asked").exists(), run.text
    assert [found.file for found in run.annotations] == [".mlrelease-version"], run.text


def deploying(desk, tmp_path, codes, *, settings=None):
    """`deploy.yml` of two environments, with an `mlrelease` that ends as told by its words, and notes them."""
    desk.write(".github/workflows/deploy.yml", made(*TWO))
    cases = "".join(f'  "{words}"*) {then} ;;\n' for words, then in codes.items())
    log = f'printf "%s\\n" "$*" >> {tmp_path}/asked'
    program(
        tmp_path / "bin",
        "mlrelease",
        f'case "$*" in\n  --version) echo {version()}; exit ;;\nesac\n{log}\ncase "$*" in\n{cases}esac',
    )
    run = desk.run("deploy", settings=settings, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    asked = tmp_path / "asked"
    return run, asked.read_text().splitlines() if asked.exists() else []


APPROVAL = "echo approval={word} >> $GITHUB_OUTPUT; exit {code}"
STAGING, PLAN = "wait staging --record", "--output json plan production"
APPROVE, PRODUCTION = "approve production --plan plan.json --run 1", "wait production --record"
FIGURES = {STAGING: ["history staging --kpi"], PRODUCTION: ["history production --kpi"]}


@pytest.mark.parametrize(
    ("codes", "asked", "red"),
    [
        ({PLAN: APPROVAL.format(word="none", code=0)}, [STAGING, PLAN, PRODUCTION], set()),
        ({PLAN: APPROVAL.format(word="required", code=5)}, [STAGING, PLAN, APPROVE, PRODUCTION], set()),
        ({PLAN: APPROVAL.format(word="none", code=5)}, [STAGING, PLAN, PRODUCTION], set()),
        ({STAGING: "exit 6"}, [STAGING], {"deploy-staging", "all-green"}),
        ({PLAN: "exit 1"}, [STAGING, PLAN], {"plan-production", "all-green"}),
        (
            {PLAN: APPROVAL.format(word="required", code=5), APPROVE: "exit 5"},
            [STAGING, PLAN, APPROVE],
            {"approve-production", "all-green"},
        ),
        (
            {PLAN: APPROVAL.format(word="none", code=0), PRODUCTION: "exit 6"},
            [STAGING, PLAN, PRODUCTION],
            {"deploy-production", "all-green"},
        ),
    ],
    ids=[
        "nothing waits for an approval",
        "an approval is given",
        "something else blocks: the wait says what",
        "staging was rolled back: production is not touched",
        "the plan could not be made",
        "the approval was refused: nobody waits",
        "production was rolled back",
    ],
)
def test_each_verbs_exit_code_decides_what_comes_next(desk, tmp_path, codes, asked, red):
    """And `all-green` is green only when every environment was; the figures follow whatever came of a wait."""
    run, found = deploying(desk, tmp_path, codes)
    assert found == [verb for one in asked for verb in (one, *FIGURES.get(one, ()))], run.text
    assert {job for job, result in run.jobs.items() if result != "success"} == red, run.text


def test_where_nothing_hosts_the_environments_nothing_is_waited_for(desk, tmp_path):
    """The variable says so; a skipped job is no red one then."""
    run, found = deploying(desk, tmp_path, {}, settings={"MLRELEASE_DEPLOY": "off"})
    assert found == []
    assert run.jobs == {"all-green": "success"}, run.text


LEAVING = """\
name: leaving
on: push
permissions: {}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: |
          setsid nohup sleep 300 > /dev/null 2>&1 < /dev/null &
          until [ "$(ps -o sid= -p $! | tr -d ' ')" = $! ]; do sleep 0.02; done
          echo "left $!"
      - run: exit 3
"""


def test_what_a_job_leaves_is_killed_and_its_workspace_wiped(desk):
    """As a real runner does: nothing that CI starts can host a model."""
    desk.write(".github/workflows/leaving.yml", LEAVING)
    run = desk.run("leaving")
    assert run.jobs == {"one": "failure"}
    assert run.left_behind == ("sleep",)
    pid = int(re.search(r"left (\d+)", run.text)[1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert [p.name for p in run.artifacts.parent.iterdir() if p.is_dir()] == ["artifacts"]


def test_a_job_gets_nothing_from_the_machine_that_it_was_not_given(desk, monkeypatch):
    """A secret of whoever runs the tests is in no step."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret")
    steps = LEAVING.partition("      - run")[0]
    desk.write(".github/workflows/env.yml", f"{steps}      - run: env\n")
    run = desk.run("env")
    assert "GITHUB_ACTIONS=true" in run.text
    assert "s3cret" not in run.everything
