"""A repository on a local GitHub with everything right, one for each module that asks for it, put back after each test."""

from __future__ import annotations

import pytest
from support.doctor_hub import unspoilt, well


@pytest.fixture(scope="module")
def well_ward(tmp_path_factory):
    """One GitHub with everything right, for the whole module."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("ward")
    (folder / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n")
    patch.setenv("HOME", str(folder))
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL", "GITHUB_SERVER_URL"):
        patch.delenv(name, raising=False)
    with well(folder) as ward:
        yield ward
    patch.undo()


@pytest.fixture
def ward(well_ward):
    """It, put back as it was afterwards."""
    with unspoilt(well_ward) as ward:
        yield ward
