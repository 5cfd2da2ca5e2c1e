"""The promise of `xdist_group`: tests that share a costly world run on one worker, in order, and set it up once."""

from __future__ import annotations

import subprocess
import sys

SHARED = """
import os
import pytest

pytestmark = pytest.mark.xdist_group("world")

@pytest.mark.parametrize("turn", range(6))
def test_shared(turn):
    with open("workers", "a") as told:
        told.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_a_group_stays_on_one_worker(tmp_path):
    """Pytest and xdist as locked: node ids that xdist cannot mark would scatter the group without a word."""
    (tmp_path / "test_it.py").write_text(SHARED)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    workers = (tmp_path / "workers").read_text().split()
    assert len(workers) == 6
    assert len(set(workers)) == 1
