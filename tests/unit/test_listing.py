"""What is in a folder of state: nothing, something, or nobody can say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.listing import listed

ROOT = Path(__file__).resolve().parents[2]


def test_entries_come_sorted_and_by_their_names(tmp_path):
    """Names as a shell's pattern has them; one that begins with a dot as well, as `Path.glob` has it."""
    for name in ("b.json", "a.json", "c.txt", ".d.json", "e.json.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "f.json").mkdir()
    assert [path.name for path in listed(tmp_path)] == [".d.json", "a.json", "b.json", "f.json"]
    assert [path.name for path in listed(tmp_path, "*.t*")] == ["c.txt", "e.json.tmp"]
    assert len(listed(tmp_path, "*")) == 6


def test_no_folder_has_nothing(tmp_path):
    """It is made by whoever puts something there."""
    assert listed(tmp_path / "none") == []


def test_a_file_in_its_place_is_no_empty_folder(tmp_path):
    """Nor is anything else that cannot be looked into."""
    (tmp_path / "x").touch()
    with pytest.raises(Error, match="Not a directory") as caught:
        listed(tmp_path / "x")
    assert caught.value.where == str(tmp_path / "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_somebody_else_is_no_empty_folder(tmp_path):
    """As another user: `Path.glob` says there that it is empty, from Python 3.13 on."""
    shut = tmp_path / "shut" / "instances"
    shut.mkdir(parents=True)
    (shut / "a.json").touch()
    shut.parent.chmod(0)
    code = f"""if True:
        import os, sys
        sys.path.insert(0, {str(ROOT / "scripts")!r})
        from pathlib import Path
        from mlrelease.listing import listed
        os.setuid(65534)
        print(listed(Path({str(shut)!r})))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"cannot use {shut}: Permission denied" in ran.stderr
