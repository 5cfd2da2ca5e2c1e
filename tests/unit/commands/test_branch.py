"""The tracked branch's commits as pins: merges dated by what they brought, a clone that cannot say, many commits at once."""

from __future__ import annotations

import pytest
from mlrelease.commands.branch import NO_COMMITS, read_landings
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from support.repositories import git, repository

MODEL = "environments/production/models/wine.yaml"
DIGESTS = {version: f"sha256:{version * 64}" for version in "123456789"}


@pytest.fixture
def path(tmp_path):
    return repository(tmp_path / "r")


def read(path, environment="production"):
    return read_landings(Workspace(Git(path), Tracked("", "main"), "ada", "run", {}), environment)


def pin(path, version, at, *, author="ada", message="", comment=""):
    place = path / MODEL
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{comment}\nversion: {version}\ndigest: {DIGESTS[version]}\n")
    git(path, "add", "--all")
    who = ("-c", f"user.name={author}", "-c", "user.email=x@example.com")
    git(path, *who, "commit", "--quiet", "--date", f"@{at} +0000", "--message", message or f"Pin wine {version}")
    return git(path, "rev-parse", "HEAD")


def merged(path, branch, number=1):
    git(path, "checkout", "--quiet", "main")
    git(path, "merge", "--quiet", "--no-ff", "--message", f"Merge pull request #{number} from acme/{branch}", branch)
    return git(path, "rev-parse", "HEAD")


def brought(path, version, revision):
    landings, problem = read(path)
    assert problem == ""
    return landings.bringing(MODEL, DIGESTS[version], revision)


def test_a_plain_commit_is_its_own_author(path):
    """With its message, and no other commit behind it."""
    sha = pin(path, "1", 1_700_000_000, author="grace", message="Pin wine 1 (#3)\n\nBetter.")
    found = brought(path, "1", sha)
    assert (found.sha, found.author, found.authored_at, found.written) == (sha, "grace", 1_700_000_000.0, "")
    assert (found.pull, found.body) == (3, "Better.")


def test_a_merge_is_dated_by_the_commit_that_it_brought(path):
    """Which it names; the merge itself is when it landed."""
    pin(path, "1", 1_600_000_000)
    git(path, "checkout", "--quiet", "-b", "bump")
    wrote = pin(path, "2", 1_700_000_000, author="grace")
    merge = merged(path, "bump", 12)
    found = brought(path, "2", merge)
    assert (found.sha, found.pull, found.written) == (merge, 12, wrote)
    assert (found.author, found.authored_at) == ("grace", 1_700_000_000.0)
    assert found.landed_at > 1_700_000_000.0


def test_a_merge_of_several_commits_is_dated_by_the_one_that_left_the_file_so(path):
    """A branch may try twice."""
    pin(path, "1", 1_600_000_000)
    git(path, "checkout", "--quiet", "-b", "bump")
    pin(path, "2", 1_650_000_000)
    wrote = pin(path, "3", 1_700_000_000)
    found = brought(path, "3", merged(path, "bump"))
    assert (found.written, found.authored_at) == (wrote, 1_700_000_000.0)
    assert brought(path, "2", git(path, "rev-parse", "main")) is None


def test_a_merged_revert_is_dated_by_itself(path):
    """What it writes was written long ago, by somebody else."""
    pin(path, "1", 1_600_000_000, author="ada")
    pin(path, "2", 1_650_000_000)
    git(path, "checkout", "--quiet", "-b", "back")
    wrote = pin(path, "1", 1_700_000_000, author="grace", message='Revert "Pin wine 2"')
    found = brought(path, "1", merged(path, "back"))
    assert (found.written, found.author) == (wrote, "grace")


def test_a_comment_over_a_pin_does_not_move_it(path):
    """The commit that wrote the digest counts."""
    first = pin(path, "1", 1_600_000_000)
    later = pin(path, "1", 1_700_000_000, comment="# looked at")
    assert brought(path, "1", later).sha == first


def test_a_revision_of_before_a_merge_does_not_see_it(path):
    """The line of the branch decides, not the dates."""
    first = pin(path, "1", 1_700_000_000)
    git(path, "checkout", "--quiet", "-b", "bump")
    pin(path, "2", 1_500_000_000)
    merged(path, "bump")
    assert brought(path, "2", first) is None
    assert brought(path, "1", first).sha == first


def test_other_environments_are_not_read(path):
    """Each has its own folder."""
    pin(path, "1", 1_700_000_000)
    landings, problem = read(path, "staging")
    assert problem == ""
    assert landings.touching(MODEL, git(path, "rev-parse", "HEAD")) is None


def test_a_branch_that_is_not_here_gives_no_commits_and_says_why(tmp_path):
    """Before the first push, or in a clone of another branch."""
    path = repository(tmp_path / "r")
    workspace = Workspace(Git(path), Tracked("origin", "main"), "ada", "run", {})
    assert read_landings(workspace, "production") == (NO_COMMITS, "there is no commit on origin/main")


def test_a_damaged_clone_gives_no_commits_and_says_why(path):
    """The tip is there, what came before it is lost: whoever asks goes on without commits, and git's word is passed on."""
    first = pin(path, "1", 1_600_000_000)
    pin(path, "2", 1_600_000_100)
    (path / ".git" / "objects" / first[:2] / first[2:]).unlink()
    landings, problem = read(path)
    assert landings is NO_COMMITS
    assert first in problem


def test_a_shallow_clone_knows_what_it_has(path, tmp_path):
    """The pin that came before its edge is not found; nothing else is named in its place."""
    pin(path, "1", 1_600_000_000)
    newest = pin(path, "2", 1_700_000_000)
    git(tmp_path, "clone", "--quiet", "--depth", "1", path.as_uri(), str(tmp_path / "shallow"))
    found = brought(tmp_path / "shallow", "2", newest)
    assert found.sha == newest
    assert brought(tmp_path / "shallow", "1", newest) is None


def test_many_commits_are_read_in_a_few_commands(path, monkeypatch):
    """Their number does not matter."""
    revisions = [pin(path, "123456789"[n % 9], 1_700_000_000 + n) for n in range(20)]
    calls = []
    call = Git.call

    def counted(self, *arguments, **more):
        calls.append(arguments[0])
        return call(self, *arguments, **more)

    monkeypatch.setattr(Git, "call", counted)
    landings, _ = read(path)
    assert len(calls) <= 5
    for number, revision in enumerate(revisions):
        assert landings.bringing(MODEL, DIGESTS["123456789"[number % 9]], revision).sha == revision
