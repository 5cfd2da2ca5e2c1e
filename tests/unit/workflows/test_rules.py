"""The house's own rules hold for every workflow, the project's and the installed ones; each rule sees its defect."""

from __future__ import annotations

import pytest
from support.workflow_rules import ROOT, RULES, WORKFLOWS, content, jobs, texts

FILES = texts()
SHA = "3d3c42e5aac5ba805825da76410c181273ba90b1"
GOOD = f"""\
name: good
on: {{push: {{branches: [main]}}}}
permissions: {{}}
concurrency: {{group: deploy-production, cancel-in-progress: false}}
jobs:
  one:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions: {{contents: read}}
    steps:
      - uses: actions/checkout@{SHA} # v7.0.1
        with: {{persist-credentials: false}}
      - env: {{WHO: "${{{{ github.event.head_commit.author.name }}}}"}}
        run: mlrelease wait production
"""
BROKEN = {
    "an action is pinned by its full commit, with its version beside it": [
        (SHA, "v7"),
        (" # v7.0.1", ""),
        (" # v7.0.1", " # the newest"),
    ],
    "a workflow has no rights on top": [("permissions: {}\n", ""), ("permissions: {}\n", "permissions: {contents: read}\n")],
    "each job says its rights": [("    permissions: {contents: read}\n", "")],
    "no expression is pasted into a script": [("wait production", "wait ${{ github.event.head_commit.message }}")],
    "what works on an environment is in a group": [
        ("concurrency: {group: deploy-production, cancel-in-progress: false}\n", "")
    ],
    "an environment's group cancels nothing and is no check's": [
        ("cancel-in-progress: false", "cancel-in-progress: true"),
        (", cancel-in-progress: false", ""),
        ("on: {push: {branches: [main]}}", "on: {push: {branches: [main]}, pull_request: {}}"),
    ],
    "a secret is given to one step": [
        ("    timeout-minutes: 5\n", "    timeout-minutes: 5\n    env: {TOKEN: '${{ secrets.TOKEN }}'}\n"),
        ("permissions: {}\n", "permissions: {}\nenv: {GITHUB_TOKEN: '${{ github.token }}'}\n"),
        ("    timeout-minutes: 5\n", "    timeout-minutes: 5\n    secrets: inherit\n"),
    ],
    "each job ends": [("    timeout-minutes: 5\n", "")],
    "no checkout keeps a credential": [
        ("        with: {persist-credentials: false}\n", ""),
        ("persist-credentials: false", "persist-credentials: true"),
    ],
    "a step calls one verb": [
        (
            "        run: mlrelease wait production\n",
            "        run: |\n          mlrelease wait staging\n          mlrelease wait production\n",
        )
    ],
    "a pull request's own workflow has no secret and no right to write": [
        ("on: {push: {branches: [main]}}", "on: {pull_request: {}} # ${{ secrets.TOKEN }}"),
        ("on: {push: {branches: [main]}}\npermissions: {}", "on: {pull_request: {}}\npermissions: {}\n# checks: write"),
    ],
}
CASES = [(rule, old, new) for rule, changes in BROKEN.items() for old, new in changes]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_every_rule(rule, file):
    """The project's workflows and its action, and the one that is made."""
    assert RULES[rule](FILES[file]) == []


@pytest.mark.parametrize(("rule", "old", "new"), CASES, ids=[f"{rule}: {new[:40]!r}" for rule, _, new in CASES])
def test_each_rule_sees_its_defect(rule, old, new):
    """One defect planted into a good workflow, and the rule names something."""
    assert RULES[rule](GOOD) == []
    assert old in GOOD
    assert RULES[rule](GOOD.replace(old, new, 1)) != []


def test_every_rule_has_a_defect_that_it_sees():
    """A rule without one could be blind."""
    assert set(BROKEN) == set(RULES)


def test_what_the_checks_are_called_is_what_the_rules_of_the_branch_ask_for():
    """A required check of another name waits for ever."""
    import json

    wanted = json.loads((ROOT / "templates/github/rulesets/main.json").read_text())
    rules = {rule["type"]: rule.get("parameters", {}) for rule in wanted["rules"]}
    asked = {check["context"] for check in rules["required_status_checks"]["required_status_checks"]}
    offline = {job["name"] for job in jobs((WORKFLOWS / "validate.yml").read_text()).values()}
    assert offline == {"validate/offline"}
    assert asked == {"validate/offline", "validate/online"}


def test_no_job_has_the_name_of_the_check_that_the_verb_reports():
    """A job that is skipped counts as passed: for a fork, `validate/online` must be missing and not skipped."""
    for file in WORKFLOWS.glob("*.yml"):
        assert all(job.get("name", name) != "validate/online" for name, job in jobs(file.read_text()).items()), file


def test_the_check_that_decides_never_runs_from_the_proposal():
    """`pull_request` takes the workflow from the pull request: only the harmless half may."""
    assert set(content((WORKFLOWS / "validate-online.yml").read_text())["on"]) == {
        "pull_request_target",
        "workflow_dispatch",
        "workflow_call",
    }
    assert "pull_request" in content((WORKFLOWS / "validate.yml").read_text())["on"]


@pytest.mark.parametrize("name", ["validate", "validate-online"])
def test_the_validator_is_the_bases_and_the_proposal_lies_beside_it(name):
    """The first checkout, whose action is used, is never the proposal; the proposal is only read with -C."""
    told = next(iter(jobs((WORKFLOWS / f"{name}.yml").read_text()).values()))["steps"]
    checkouts = [step.get("with", {}) for step in told if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert [with_.get("path", ".") for with_ in checkouts] == [".", "pr"]
    assert "head" not in str(checkouts[0].get("ref", "base")).replace("merge_group.base_sha", "")
    assert [step["uses"] for step in told if str(step.get("uses", "")).startswith("./")] == [
        "./.github/actions/setup-mlrelease"
    ]
    runs = [step["run"] for step in told if "run" in step]
    assert runs
    assert all(" -C pr validate " in run for run in runs)


def test_each_schedule_starts_at_an_odd_minute():
    """On the hour, everybody's start, and GitHub drops some."""
    import re

    found = []
    for file in WORKFLOWS.glob("*.yml"):
        for entry in (content(file.read_text())["on"] or {}).get("schedule", []):
            found += [int(minute) for minute in re.split(r",", entry["cron"].split()[0])]
    assert found
    assert all(minute % 2 for minute in found)
    assert all(minute % 5 for minute in found)


def test_the_schedule_that_repairs_is_in_a_file_of_its_own():
    """GitHub switches schedules off for the whole file: nothing else may go with it."""
    told = content((WORKFLOWS / "reconcile.yml").read_text())
    assert list(told["jobs"]) == ["reconcile"]
    assert {"schedule", "push", "workflow_dispatch"} == set(told["on"])


def test_every_verb_in_a_workflow_exists():
    """A workflow calls only what `mlrelease --help` has."""
    import re

    import typer
    from mlrelease.cli import app

    verbs = set(typer.main.get_command(app).commands)
    called = set()
    for text in FILES.values():
        for job in jobs(text).values():
            for step in job.get("steps", []):
                for line in str(step.get("run", "")).splitlines():
                    if match := re.search(r"\bmlrelease((?: -{1,2}[\w-]+ \S+)*) ([a-z]+)", line):
                        called.add(match[2])
    assert {"validate", "plan", "approve", "wait", "history", "reconcile", "rollback", "bump", "promote", "release"} == called
    assert called <= verbs
