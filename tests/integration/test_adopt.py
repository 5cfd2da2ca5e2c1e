"""`docs/adopt.md`, followed from an empty folder to production: every command of the page, in its order, as written.

Real git, a real MLflow, real agents and predictions. Paths, ports and the remote are the test's; `systemctl` starts the real
agent; `gh` is a small program that sends what the page says to the local GitHub server.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from support.estate import free_port, until
from support.github_server import Problem, deciding, running_github
from support.mlflow_server import register
from support.pages import ROOT, Line, Reader, lines, sections
from support.repositories import git

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("adopt"), pytest.mark.timeout(600)]

PAGE = ROOT / "docs" / "adopt.md"
REPOSITORY = "acme/models"
GH = Path(__file__).parents[1] / "support" / "gh.py"
STEPS = [name for name in sections(PAGE) if re.match(r"\d+\. ", name)]
"""The sections in their order; each is a test, and begins where the one before it ended."""


class Newcomer(Reader):
    """An empty folder, a git host with an empty repository, an MLflow with two versions, and a machine to serve."""

    def __init__(self, root: Path, mlflow_uri: str, hub) -> None:
        self.hub, self.root = hub, root
        self.ports = {"127.0.0.1:8080": f"127.0.0.1:{free_port()}", "127.0.0.1:8081": f"127.0.0.1:{free_port()}"}
        hub.repository(REPOSITORY)
        (root / "bin").mkdir()
        (root / "bin" / "gh").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{GH}" "$@"\n')
        (root / "bin" / "gh").chmod(0o755)
        states = {name: root / "st" / name for name in ("production", "staging")}
        variables = {
            "HOME": str(root),
            "PATH": str(root / "bin"),
            "MLFLOW_TRACKING_URI": mlflow_uri,
        }
        replaced = {
            "git@github.com:acme/models.git": str(hub.git_path(REPOSITORY)),
            "/var/lib/mlrelease": str(root / "st"),
            **self.ports,
        }
        super().__init__(root, root / "host", {"production": states["production"]}, variables, replaced)
        self.everywhere = states

    def clone(self) -> None:
        """What the page has as text: the agent's user clones the repository."""
        git(self.root, "clone", "--quiet", str(self.hub.git_path(REPOSITORY)), "host")

    def log_in(self) -> None:
        """What the page exports; the remote is a folder here, so the repository's name and address are told too."""
        self.variables |= {
            "GH_TOKEN": self.hub.token,
            "MLRELEASE_GITHUB_API": self.hub.api_url,
            "MLRELEASE_GITHUB_REPOSITORY": REPOSITORY,
        }

    def watch_both(self) -> None:
        self.states = self.everywhere

    def version(self, environment: str) -> str:
        """The version that answers there now."""
        import urllib.request

        address = self.ports["127.0.0.1:8080" if environment == "production" else "127.0.0.1:8081"]
        with urllib.request.urlopen(f"http://{address}/identity", timeout=10) as answer:
            return json.load(answer)["models"][0]["version"]


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory, mlflow_uri):
    """Three versions of one model are registered; there is nothing else."""
    from pandas import DataFrame
    from sklearn.dummy import DummyClassifier

    rows = DataFrame({"income": [1.0, 2.0, 3.0], "debt": [0.5, 0.1, 0.9]})
    for answer in (0, 1, 2):
        model = DummyClassifier(strategy="constant", constant=answer).fit(rows, [0, 1, 2])
        register(mlflow_uri, "credit-risk", model, input_example=rows)
    root = tmp_path_factory.mktemp("ad")
    with running_github(root / "hub") as hub:
        reader = Newcomer(root, mlflow_uri, hub)
        yield reader
        reader.kill()


def follow(newcomer: Newcomer, number: int, before=None) -> dict[str, str]:
    """The commands of one section."""
    return newcomer.follow(PAGE, before or {}, section=STEPS[number - 1])


def test_1_the_program_is_there(newcomer):
    """It says its version, and gives the completion of the shell that asks."""
    said = follow(newcomer, 1)
    assert said["mlrelease --version"].strip() == (ROOT / "VERSION").read_text().strip()
    assert "complete -o default -F _mlrelease_completion mlrelease" in (newcomer.root / ".mlrelease-completion").read_text()


def test_2_a_repository_is_made_and_pushed(newcomer):
    """Files, workflows and rules are in one commit at the git host; doctor has looked at everything."""
    said = follow(newcomer, 2)
    assert git(newcomer.you, "rev-parse", "origin/main") == git(newcomer.you, "rev-parse", "HEAD")
    assert (newcomer.you / ".github" / "CODEOWNERS").is_file()
    assert "1 environments without a finding" in said["mlrelease doctor production"]


def test_3_the_first_model_is_pinned_and_planned(newcomer):
    """The pins are valid, the gates open, the plan is to create."""
    said = follow(newcomer, 3)
    assert "create" in said["mlrelease plan production"]
    pins = {path.stem for path in (newcomer.you / "environments/production/models").iterdir()}
    assert pins == {"credit-risk"}


def test_4_it_answers_in_production(newcomer):
    """The first deploy proves version 1, and the agent takes over."""
    said = follow(newcomer, 4, {"mlrelease doctor production": newcomer.clone})
    assert newcomer.version("production") == "1"
    assert newcomer.is_watched()
    assert "InSync" in said["mlrelease status production"]


def test_5_staging_gets_the_new_version(newcomer):
    """Two environments beside each other; production's policy is in its file and the workflow follows."""
    said = follow(newcomer, 5, {"sudo systemctl restart mlrelease-agent": newcomer.watch_both})
    assert (newcomer.version("staging"), newcomer.version("production")) == ("2", "1")
    policy = git(newcomer.you, "show", "origin/main:environments/production/environment.yaml")
    assert "promotes_from: staging" in policy
    assert "approval: required" in policy
    workflow = git(newcomer.you, "show", "origin/main:.github/workflows/deploy.yml")
    assert "mlrelease approve production" in workflow
    assert "golden" in said["mlrelease bump staging credit-risk --to 2 --push"]


def test_6_production_waits_for_the_approval(newcomer):
    """Nothing moved before somebody said yes; then version 2 is proved there."""
    said = follow(
        newcomer,
        6,
        {'mlrelease approve production --reason "metrics looked at, 2 for 1"': lambda: still(newcomer, "1")},
    )
    assert "waits for an approval" in said["mlrelease plan production"]
    assert newcomer.version("production") == "2"


def still(newcomer: Newcomer, version: str) -> None:
    """Production answers as before."""
    assert newcomer.version("production") == version


def test_7_and_back(newcomer):
    """Version 1 is proved again, and version 2 stays out until somebody says why not."""
    said = follow(newcomer, 7)
    assert newcomer.version("production") == "1"
    assert "rollback" in said["mlrelease history production --limit 3"]
    assert "rejected" in said["mlrelease promote staging production"]


def test_8_github_keeps_the_rules(newcomer):
    """Rulesets and environments are there as the page says, and doctor asked GitHub."""
    newcomer.log_in()
    said = follow(newcomer, 8, {"mlrelease doctor production": lambda: run_workflows(newcomer)})
    (rules,) = (command for command in said if "main ledger tags" in command)
    assert said[rules].splitlines() == [
        "mlrelease: the tracked branch",
        "mlrelease: the ledger is append-only",
        "mlrelease: a release tag never moves",
    ]
    state = newcomer.hub.state(REPOSITORY)
    assert len(state.rulesets) == 5
    assert set(state.environments) == {"production", "validate"}
    owners = (newcomer.you / ".github" / "CODEOWNERS").read_text()
    assert "@ORGANISATION" not in owners
    assert "@acme/release-owners" in owners


def run_workflows(newcomer: Newcomer) -> None:
    """GitHub ran what was pushed, which is played here; tests of the workflows execute them.

    A push by path stands for one with a deploy key, which those two rulesets let pass.
    """
    state = newcomer.hub.state(REPOSITORY)
    for ruleset in state.rulesets.values():
        if any(actor["actor_type"] == "DeployKey" for actor in ruleset["bypass_actors"]):
            ruleset["_bypass"] = ["nobody"]
    deciding.write_hook_rules(state)
    for path in (newcomer.you / ".github" / "workflows").glob("*.yml"):
        newcomer.hub.add_run(REPOSITORY, workflow=path.name, status="completed", conclusion="success")


def check(newcomer: Newcomer, number: int, head: str) -> None:
    """What the two workflows of a pull request do: the verb in a checkout of its head, with the token of a workflow."""
    git(newcomer.root, "clone", "--quiet", "--branch", head, str(newcomer.hub.git_path(REPOSITORY)), "pr")
    there, newcomer.you = newcomer.you, newcomer.root / "pr"
    newcomer.variables["GH_TOKEN"] = newcomer.hub.actions_token
    newcomer.type(Line("", "you", "mlrelease --branch main validate --offline"))
    sha = git(newcomer.you, "rev-parse", "HEAD")
    # a job's own check is GitHub's, not the program's
    job = f"-f name=validate/offline -f head_sha={sha} -f status=completed -f conclusion=success"
    newcomer.type(Line("", "you", f"gh api repos/{REPOSITORY}/check-runs {job} --jq .name"))
    newcomer.type(Line("", "you", f"mlrelease --branch main validate --pr {number}"))
    newcomer.you = there


def test_9_the_first_pull_request(newcomer):
    """One pull request that moves one pin; merged, it is applied by the agent alone."""
    follow(newcomer, 9)
    (pull,) = newcomer.hub.state(REPOSITORY).pulls.values()
    bare, number, head = Path(newcomer.hub.git_path(REPOSITORY)), pull["number"], pull["head"]["ref"]
    assert git(bare, "diff", "--name-only", "main", head).split() == ["environments/staging/models/credit-risk.yaml"]
    newcomer.hub.review(REPOSITORY, number, "bea", "APPROVED")
    with pytest.raises(Problem, match="rule violations"):
        newcomer.hub.merge(REPOSITORY, number)
    check(newcomer, number, head)
    newcomer.hub.merge(REPOSITORY, number, method="squash")
    until(lambda: newcomer.version("staging") == "3", seconds=90, what="version 3 in staging")
    assert newcomer.version("production") == "1"


def test_every_section_with_commands_is_followed_here():
    """A step that is added to the page has a test of its own."""
    text = Path(__file__).read_text(encoding="utf-8")
    numbered = {line.section for line in lines(PAGE)}
    assert numbered == set(STEPS)
    assert [n for n in range(1, len(STEPS) + 1) if f"def test_{n}_" not in text] == []


def test_what_is_not_run_says_why():
    """Only what asks for a secret, or what gh alone can do."""
    left_out = {line.command.split()[1] for line in lines(PAGE) if line.not_run}
    assert left_out <= {"variable", "secret"}
    assert os.access(GH, os.R_OK)
