"""Where the package's own files lie: in a checkout, in a wheel, and in an installation that is damaged."""

from __future__ import annotations

import importlib.util
import shutil
from importlib.metadata import version as installed
from pathlib import Path

import pytest
from mlrelease import files

ROOT = Path(__file__).parents[2]


def placed(folder):
    """The module as if the package lay in `folder`."""
    folder.mkdir(parents=True)
    shutil.copy(files.__file__, folder / "files.py")
    found = importlib.util.spec_from_file_location(f"placed_{folder.name}", folder / "files.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["templates", "environments"])
def test_in_the_checkout_they_are_the_repositorys(name):
    """What is edited is what is used."""
    assert files.bundled(name) == ROOT / name


@pytest.mark.parametrize("name", ["templates", "environments"])
def test_in_a_wheel_they_are_the_packages_own(tmp_path, name):
    """Also where a folder of that name lies beside the installation: that is somebody else's."""
    module = placed(tmp_path / "lib" / "site-packages" / "mlrelease")
    own = tmp_path / "lib" / "site-packages" / "mlrelease" / "_files" / name
    (tmp_path / "lib" / name).mkdir()
    own.mkdir(parents=True)
    assert module.bundled(name) == own


def test_what_is_not_there_is_said_by_name(tmp_path):
    """A file of that name is no folder."""
    module = placed(tmp_path / "lib" / "site-packages" / "mlrelease")
    (tmp_path / "lib" / "templates").write_text("")
    with pytest.raises(FileNotFoundError, match=r"^templates$"):
        module.bundled("templates")


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3\n", " 1.2.3 \n"], ids=repr)
def test_the_version_of_a_checkout_is_in_its_file(tmp_path, text):
    """Without what surrounds it."""
    module = placed(tmp_path / "scripts" / "mlrelease")
    (tmp_path / "VERSION").write_text(text)
    assert module.version() == "1.2.3"


def test_this_checkouts_version_is_a_version():
    """The file of the repository, and a plain version."""
    from mlrelease.model.release import Version

    assert files.version() == (ROOT / "VERSION").read_text().strip()
    assert Version.parse(files.version()) is not None


def test_somebody_elses_version_is_not_ours(tmp_path):
    """A file of that name above an installation says nothing of it; nor does a checkout without one."""
    module = placed(tmp_path / "a" / "site-packages" / "mlrelease")
    (tmp_path / "a" / "VERSION").write_text("9.9.9")
    assert module.version() == installed("mlrelease")
    assert placed(tmp_path / "b" / "scripts" / "mlrelease").version() == installed("mlrelease")
