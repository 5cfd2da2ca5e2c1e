"""The rulesets as files, sent to the local GitHub server: taken as they are, and kept against real pushes and merges."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.github_server import Problem, running_github
from support.repositories import git

ROOT = Path(__file__).parents[2]
PLACES = {"ours": ROOT / ".github" / "rulesets", "those that init installs": ROOT / "templates" / "github" / "rulesets"}
NAME = "acme/models"

pytestmark = [pytest.mark.xdist_group("rulesets"), pytest.mark.timeout(120)]


class Kept:
    """A repository with a ledger, a release tag and an open pull request, and the rulesets of a folder in force."""

    def __init__(self, root: Path, hub, folder: Path, names: tuple[str, ...]) -> None:
        self.hub, self.root, self.clone = hub, root, root / "clone"
        hub.repository(NAME)
        root.mkdir(parents=True, exist_ok=True)
        git(root, "clone", "--quiet", str(hub.git_path(NAME)), "clone")
        self.commit("main", "first")
        self.push("HEAD:refs/heads/main", "HEAD:refs/heads/mlrelease/ledger", "HEAD:refs/tags/v1.0.0")
        git(self.clone, "checkout", "--quiet", "-b", "proposal")
        self.commit("proposal", "a pin moves")
        self.push("HEAD:refs/heads/proposal")
        self.pull = hub.open_pull(NAME, head="proposal", title="Pin wine 2", user="ann")
        self.sent = [self.send(folder / f"{name}.json") for name in names]

    def commit(self, name: str, text: str) -> None:
        (self.clone / name).write_text(text)
        git(self.clone, "add", name)
        git(self.clone, "commit", "--quiet", "-m", text)

    def push(self, *refs: str) -> str:
        """What git says to a push over HTTP with a person's token; empty when it was taken."""
        done = subprocess.run(
            ["git", "push", "--quiet", self.hub.git_url(NAME, token=self.hub.token), *refs],
            cwd=self.clone, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.stderr if done.returncode else ""

    def send(self, path: Path) -> dict:
        """The file as the body of a request, and the answer."""
        request = urllib.request.Request(
            f"{self.hub.api_url}/repos/{NAME}/rulesets",
            data=path.read_bytes(),
            method="POST",
            headers={"Authorization": f"Bearer {self.hub.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
            return json.load(answer)

    def check(self, context: str) -> None:
        """A workflow reports that the pull request's head passed."""
        body = {"name": context, "head_sha": git(self.clone, "rev-parse", "proposal"), "status": "completed"}
        request = urllib.request.Request(
            f"{self.hub.api_url}/repos/{NAME}/check-runs",
            data=json.dumps(body | {"conclusion": "success"}).encode(),
            headers={"Authorization": f"Bearer {self.hub.actions_token}", "Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(params=list(PLACES))
def folder(request):
    return PLACES[request.param]


@pytest.fixture
def kept(tmp_path, folder):
    """What docs/adopt.md applies at once: main, ledger and tags."""
    with running_github(tmp_path / "hub") as hub:
        yield Kept(tmp_path / "r", hub, folder, ("main", "ledger", "tags"))


def test_the_server_has_what_the_file_says(kept, folder):
    """Name, target, rules and bypass actors come back as sent, in force."""
    for answer, name in zip(kept.sent, ("main", "ledger", "tags"), strict=True):
        sent = json.loads((folder / f"{name}.json").read_text())
        assert {key: answer[key] for key in sent} == sent
        assert answer["enforcement"] == "active"


def test_main_takes_no_push(kept):
    """Neither a commit, nor a force push, nor a deletion."""
    assert "through a pull request" in kept.push("HEAD:refs/heads/main")
    # git itself refuses to delete the branch that is checked out at the other end, unless it is told not to
    git(kept.hub.git_path(NAME), "config", "receive.denyDeleteCurrent", "ignore")
    assert "Cannot delete" in kept.push(":refs/heads/main")
    git(kept.clone, "commit", "--quiet", "--amend", "-m", "another first")
    assert "GH013" in kept.push("+HEAD:refs/heads/main")


def test_a_pull_request_needs_review_and_checks(kept, folder):
    """In any order, and a merge commit is refused even then."""
    rules = json.loads((folder / "main.json").read_text())["rules"]
    (checks,) = (rule["parameters"]["required_status_checks"] for rule in rules if rule["type"] == "required_status_checks")
    with pytest.raises(Problem, match="approving review"):
        kept.hub.merge(NAME, kept.pull)
    kept.hub.review(NAME, kept.pull, "bea")
    for check in checks:
        with pytest.raises(Problem, match=check["context"]):
            kept.hub.merge(NAME, kept.pull)
        kept.check(check["context"])
    with pytest.raises(Problem, match="Merge method merge is not allowed"):
        kept.hub.merge(NAME, kept.pull, method="merge")
    merged = kept.hub.merge(NAME, kept.pull)
    assert git(kept.hub.git_path(NAME), "rev-parse", "main") == merged


def test_a_push_after_the_review_needs_another_one(kept):
    """What was approved is the commit, not the branch."""
    kept.hub.review(NAME, kept.pull, "bea")
    kept.commit("proposal", "another pin")
    assert kept.push("HEAD:refs/heads/proposal") == ""
    with pytest.raises(Problem, match="approving review"):
        kept.hub.merge(NAME, kept.pull)


def test_the_ledger_grows_and_is_never_rewritten(kept):
    """Appending is a fast-forward and passes; a rewrite and a deletion do not."""
    assert kept.push("HEAD:refs/heads/mlrelease/ledger") == ""
    git(kept.clone, "checkout", "--quiet", "--orphan", "other")
    kept.commit("other", "another history")
    assert "force-push" in kept.push("+HEAD:refs/heads/mlrelease/ledger")
    assert "Cannot delete" in kept.push(":refs/heads/mlrelease/ledger")


def test_a_release_tag_is_made_once(kept):
    """A new one may be made; one that is there neither moves nor goes."""
    assert kept.push("HEAD:refs/tags/v1.1.0") == ""
    assert "Cannot update" in kept.push("+HEAD:refs/tags/v1.0.0")
    assert "Cannot delete" in kept.push(":refs/tags/v1.0.0")
    assert kept.push("HEAD:refs/tags/trial", "HEAD:refs/heads/anything") == "", "other names are free"


def test_with_the_writers_rulesets_people_write_neither(tmp_path, folder):
    """The second step of docs/adopt.md: who has a token of a person makes no tag and writes no event."""
    with running_github(tmp_path / "hub") as hub:
        kept = Kept(tmp_path / "r", hub, folder, ("ledger-writers", "tag-writers"))
        assert "Cannot update" in kept.push("HEAD:refs/heads/mlrelease/ledger")
        assert "Cannot create" in kept.push("HEAD:refs/tags/v2.0.0")
        assert kept.push("HEAD:refs/heads/mlrelease/bump/staging/wine") == "", "bots' branches are free"


def test_the_same_ruleset_twice_is_refused(kept, folder):
    """By its name: applied again it is said, not doubled."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        kept.send(folder / "main.json")
    refused.value.close()
    assert refused.value.code == 422
    assert len(kept.hub.state(NAME).rulesets) == 3
