"""VERSION by bump-my-version in a copy: whose configuration, what it touches, and what its failures leave."""

from __future__ import annotations

import sys

import pytest
from mlrelease.commands.release.versioned import OWN, OWN_FILE, move_version
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.forge.scratch import copy_of
from mlrelease.model.release import Version
from support.repositories import git, repository

OLD, NEW = Version(1, 0, 0), Version(1, 1, 0)
FILES = '[[tool.bumpversion.files]]\nfilename = "VERSION"\n'


def moved(tmp_path, files, *, before=OLD, after=NEW):
    """The files that differ afterwards, by their new text."""
    path = repository(tmp_path / "r", files)
    sha = git(path, "rev-parse", "HEAD")
    with copy_of(Git(path), sha) as copy:
        move_version(copy, before, after)
        names = copy.changed(copy.tree(*(["VERSION"] if copy.read("VERSION") is not None else [])))
        assert copy.read(OWN_FILE) is None
        found = {name: copy.read(name).decode() for name in names}
    assert git(path, "status", "--porcelain") == ""
    return found


def test_without_a_configuration_only_version_moves(tmp_path):
    """However much elsewhere looks like it."""
    files = {
        "VERSION": "1.0.0\n",
        "requirements.txt": "tool==1.0.0\nother==11.0.0\n",
        "setup.cfg": "[metadata]\nversion = 1.0.0\n",
    }
    assert moved(tmp_path, files) == {"VERSION": "1.1.0\n"}


def test_version_is_made_where_there_is_none(tmp_path):
    """A first release."""
    assert moved(tmp_path, {"README.md": "x\n"}, before=Version(0, 0, 0), after=Version(0, 1, 0)) == {"VERSION": "0.1.0\n"}


def test_the_version_that_is_there_needs_nothing(tmp_path):
    """A first release that takes VERSION as it stands."""
    assert moved(tmp_path, {"VERSION": "1.0.0\n"}, after=OLD) == {}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (".bumpversion.toml", f'[tool.bumpversion]\ncurrent_version = "1.0.0"\n{FILES}'),
        ("pyproject.toml", f'[project]\nname = "x"\n[tool.bumpversion]\ncurrent_version = "1.0.0"\n{FILES}'),
        ("setup.cfg", "[bumpversion]\ncurrent_version = 1.0.0\n[bumpversion:file:VERSION]\n"),
    ],
    ids=[".bumpversion.toml", "pyproject.toml", "setup.cfg"],
)
def test_the_repositorys_own_configuration_is_used(tmp_path, name, config):
    """Its own note of the version moves along."""
    found = moved(tmp_path, {"VERSION": "1.0.0\n", name: config})
    assert set(found) == {"VERSION", name}
    assert "1.1.0" in found[name]
    assert "1.0.0" not in found[name]


def test_other_files_of_the_configuration_move_along(tmp_path):
    """By their own anchored search."""
    config = f'[tool.bumpversion]\n{FILES}[[tool.bumpversion.files]]\nfilename = "chart/Chart.yaml"\n'
    config += 'search = "appVersion: {current_version}"\nreplace = "appVersion: {new_version}"\n'
    files = {"VERSION": "1.0.0\n", "chart/Chart.yaml": "appVersion: 1.0.0\nkube: 1.0.0\n", ".bumpversion.toml": config}
    found = moved(tmp_path, files)
    assert found == {"VERSION": "1.1.0\n", "chart/Chart.yaml": "appVersion: 1.1.0\nkube: 1.0.0\n"}


def test_a_pyproject_without_a_section_is_no_configuration(tmp_path):
    """The next place is looked at, then our own."""
    assert moved(tmp_path, {"VERSION": "1.0.0\n", "pyproject.toml": '[project]\nversion = "1.0.0"\n'}) == {"VERSION": "1.1.0\n"}


def test_commits_and_tags_of_the_configuration_are_not_made(tmp_path):
    """They stay this program's."""
    config = f"[tool.bumpversion]\ncommit = true\ntag = true\n{FILES}"
    moved(tmp_path, {"VERSION": "1.0.0\n", ".bumpversion.toml": config})
    assert git(tmp_path / "r", "tag") == ""
    assert git(tmp_path / "r", "log", "--format=%s") == "start"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "VERSION"),
        ("[tool.bumpversion\n", ".bumpversion.toml is not TOML"),
        ("[tool.bumpversion]\n", "VERSION says 1.0.0 after bump-my-version, not 1.1.0"),
        (f'[tool.bumpversion]\npre_commit_hooks = ["false"]\n{FILES}', "bump-my-version: "),
        (f'[tool.bumpversion]\n{FILES}[[tool.bumpversion.files]]\nfilename = "gone"\n', "gone"),
        (f'[tool.bumpversion]\nparse = "("\n{FILES}', "bump-my-version: "),
    ],
    ids=[
        "VERSION was edited by hand",
        "a configuration that is no TOML",
        "a configuration that forgets VERSION",
        "a hook that fails",
        "a file that is not there",
        "a configuration that makes no sense",
    ],
)
def test_a_failure_is_one_error_and_leaves_nothing(tmp_path, config, said):
    """In its own words; the checkout is as before."""
    files = {"VERSION": "1.0.1\n"} if config is None else {"VERSION": "1.0.0\n", ".bumpversion.toml": config}
    with pytest.raises(Error) as failed:
        moved(tmp_path, files)
    assert said in failed.value.message
    assert failed.value.hint
    assert "\n" not in failed.value.message
    assert git(tmp_path / "r", "status", "--porcelain") == ""


def test_modules_of_the_repository_are_not_imported(tmp_path):
    """A folder called `http`, or a `sitecustomize.py`, is data."""
    trap = "raise SystemExit('imported')\n"
    files = {"VERSION": "1.0.0\n", "http/__init__.py": trap, "bumpversion/__init__.py": trap, "sitecustomize.py": trap}
    assert moved(tmp_path, files) == {"VERSION": "1.1.0\n"}


def test_hooks_see_the_copy_and_what_they_make_elsewhere_is_theirs(tmp_path):
    """A hook that rewrites a tracked file changes the release; a new file of it does not get in."""
    script = "import pathlib; pathlib.Path('notes.txt').write_text('1.1.0'); pathlib.Path('junk').write_text('x')"
    config = f"[tool.bumpversion]\npre_commit_hooks = ['''{sys.executable} make.py''']\n{FILES}"
    files = {"VERSION": "1.0.0\n", "notes.txt": "1.0.0", "make.py": script, ".bumpversion.toml": config}
    assert moved(tmp_path, files) == {"VERSION": "1.1.0\n", "notes.txt": "1.1.0"}


def test_a_hook_without_end_meets_its_deadline(tmp_path, monkeypatch):
    """And the release fails, whole."""
    from types import MappingProxyType

    from mlrelease.commands.release import versioned

    monkeypatch.setattr(versioned, "DEADLINES_S", MappingProxyType({"release.version": 2.0}))
    config = f'[tool.bumpversion]\npre_commit_hooks = ["sleep 30"]\n{FILES}'
    with pytest.raises(Error, match="did not end within 2 s"):
        moved(tmp_path, {"VERSION": "1.0.0\n", ".bumpversion.toml": config})


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    """It is not needed for anything else."""
    from mlrelease.commands.release import versioned

    monkeypatch.setattr(versioned, "find_spec", lambda _: None)
    with pytest.raises(Error, match="bump-my-version") as failed:
        moved(tmp_path, {"VERSION": "1.0.0\n"})
    assert failed.value.hint.startswith("pip install")


def test_our_own_configuration_anchors_the_whole_line():
    """The same as this repository's."""
    import tomllib
    from pathlib import Path

    committed = tomllib.loads((Path(__file__).parents[3] / ".bumpversion.toml").read_text(encoding="utf-8"))
    assert committed == tomllib.loads(OWN)
