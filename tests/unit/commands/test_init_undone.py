"""An `init` that fails leaves what was there as it was, alone or beside a project; the next one starts afresh."""

from __future__ import annotations

import os
import shlex

import pytest
from mlrelease.commands.init import InitOptions, init
from mlrelease.errors import Error, UsageError
from mlrelease.spec.rules import RULES
from support.repositories import git, repository


def everything(root):
    """Every path below with its bytes, or its link; of git what a user sees of it."""
    found = {}
    for path in sorted(root.rglob("*")):
        if ".git" in path.relative_to(root).parts:
            continue
        name = path.relative_to(root).as_posix()
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    if (root / ".git").is_dir():
        found["git"] = (
            git(root, "for-each-ref"),
            git(root, "status", "--porcelain"),
            (root / ".git/config").read_bytes(),
        )
    return found


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """Git does not know who commits; calling it makes git know."""
    home = tmp_path / "nobody"
    home.mkdir()
    before = os.environ["HOME"]
    monkeypatch.setenv("HOME", str(home))
    return lambda: monkeypatch.setenv("HOME", before)


def mixed(root):
    """A project with folders of the same names, a link and an empty folder."""
    for name, data in (("ci.yml", "on: push\n"), ("other.yml", "on: pull_request\n")):
        (root / ".github/workflows").mkdir(parents=True, exist_ok=True)
        (root / ".github/workflows" / name).write_text(data)
    (root / "environments").mkdir()
    (root / "src").mkdir()
    (root / "src/main.py").write_text("print()\n")
    (root / "latest").symlink_to("src/main.py")


def test_beside_a_project_nothing_of_it_stays_and_the_next_try_works(tmp_path, nobody):
    """Not even in folders that both have: a file left there would be in the way for ever."""
    root = tmp_path / "project"
    root.mkdir()
    mixed(root)
    before = everything(root)
    with pytest.raises(Error, match="git does not know who commits"):
        init(str(root), InitOptions())
    assert everything(root) == before
    nobody()
    report = init(str(root), InitOptions())
    assert report.exit_code == 0
    assert {name: data for name, data in everything(root).items() if name in before} == before


def test_a_new_folder_is_gone_with_those_above_it_left(tmp_path, nobody):
    """What was made for it above may hold other things by now."""
    with pytest.raises(Error, match="git does not know who commits"):
        init(str(tmp_path / "a" / "b"), InitOptions())
    assert not (tmp_path / "a" / "b").exists()


def test_a_repository_that_was_there_keeps_its_commit_and_settings(tmp_path):
    """The remote says no after the commit was made: neither the commit nor the remote stays, so that it can be tried again."""
    root = repository(tmp_path / "project", {"src/main.py": "print()\n"})
    (root / "staged.txt").write_text("mine\n")
    git(root, "add", "staged.txt")
    before = everything(root)
    for _ in range(2):  # the second try meets the same refusal, not leftovers of the first
        with pytest.raises(Error) as failed:
            init(str(root), InitOptions(remote=str(tmp_path / "nowhere.git")))
        assert "nowhere.git" in failed.value.message + failed.value.hint
        assert everything(root) == before
    git(tmp_path, "init", "--quiet", "--bare", "nowhere.git")
    init(str(root), InitOptions(remote=str(tmp_path / "nowhere.git")))
    assert git(root, "status", "--porcelain") == "A  staged.txt"
    assert git(tmp_path / "nowhere.git", "log", "--format=%s", "main") == "Start with the example environment\nstart"


def test_an_empty_repository_that_was_there_is_empty_again(tmp_path):
    """Its branch has no commit, as before."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    before = everything(root)
    with pytest.raises(Error):
        init(str(root), InitOptions(remote=str(tmp_path / "nowhere.git")))
    assert everything(root) == before
    assert init(str(root), InitOptions()).data["commit"] == git(root, "rev-parse", "HEAD")


def test_a_hook_that_says_no_leaves_nothing(tmp_path):
    """Its own words are the error."""
    root = repository(tmp_path / "project", {"src/main.py": "print()\n"})
    hook = root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho 'ask the owner first' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = everything(root)
    with pytest.raises(Error, match="ask the owner first"):
        init(str(root), InitOptions())
    assert everything(root) == before


def test_a_file_in_place_of_the_folder_stays(tmp_path):
    """It is somebody's; the error names it."""
    place = tmp_path / "notes"
    place.write_text("mine")
    with pytest.raises(Error) as failed:
        init(str(place), InitOptions())
    assert failed.value.message == f"{place} cannot be written: File exists"
    assert failed.value.hint == "choose a folder that you may write"
    assert place.read_text() == "mine"


def test_a_file_in_place_of_a_folder_of_ours_stays(tmp_path):
    """What was written before it is taken away again."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "templates").write_text("mine")
    with pytest.raises(Error, match="cannot be written"):
        init(str(root), InitOptions())
    assert everything(root) == {"templates": b"mine"}


@pytest.mark.parametrize("name", ["README.md", "environments/production/environment.yaml", ".mlrelease/vendored.json"])
def test_a_file_in_the_way_is_named_before_anything_is_done(tmp_path, name):
    """Not even git is begun there."""
    place = tmp_path / "project" / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(UsageError) as refused:
        init(str(tmp_path / "project"), InitOptions())
    assert (refused.value.message, refused.value.hint) == (f"{place} exists: nothing was written", "choose a new folder")
    assert everything(tmp_path / "project") == everything(tmp_path / "project") | {name: b"mine"}
    assert not (tmp_path / "project/.git").exists()


def test_the_report_names_the_files_and_a_command_that_works(tmp_path):
    """A folder with a blank in its name is quoted."""
    root = tmp_path / "our models"
    report = init(str(root), InitOptions(branch="trunk", tracking_uri="https://mlflow.acme.com", state_dir="/var/lib/ml"))
    count = len(report.data["files"])
    assert report.verdict == f"{root}: {count} files in commit {report.data['commit'][:9]}"
    assert report.next == f"cd '{root}' && mlrelease validate --offline"
    assert list(report.details) == [name for name in report.data["files"] if name.startswith("environments/")]
    assert git(root, "config", "mlrelease.branch") == "trunk"
    assert git(root, "status", "--porcelain") == ""
    text = (root / "environments/production/environment.yaml").read_text()
    assert "tracking_uri: https://mlflow.acme.com\n" in text
    assert "  state_dir: /var/lib/ml\n" in text


def test_what_is_advised_where_there_is_nothing_makes_a_repository_there(tmp_path, monkeypatch):
    """The finding's way out, typed as it stands; and then one is there already."""
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    program, verb, folder = shlex.split(RULES["no-environments"].fix, comments=True)
    assert (program, verb) == ("mlrelease", "init")
    report = init(folder, InitOptions())
    assert report.next == "mlrelease validate --offline"
    assert git(tmp_path, "status", "--porcelain") == "?? notes.txt"
