"""A process that appends to a ledger: many events in a row, or one with a kill at a chosen point.

Usage: ledger_worker.py many CLONE PREFIX COUNT | die CLONE SPOOL EVENT BEFORE_GIT_CALL | spool CLONE SPOOL EVENT BEFORE_RENAME
The kills are injected from here (a `Git` that counts its calls, a `Path.replace` that counts its own).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mlrelease.forge.git import Git
from mlrelease.ledger.ledger import Ledger
from support.repositories import NOW, held, ledger


class DyingGit(Git):
    """Dies by SIGKILL instead of its n-th call."""

    def __init__(self, path, calls):
        super().__init__(path)
        self.left = calls

    def call(self, *arguments, **options):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().call(*arguments, **options)


def many(clone, prefix, count):
    it = ledger(Path(clone))
    for number in range(int(count)):
        it.append([held(f"{prefix}{number}")])


def die(clone, spool, event, calls):
    Ledger(DyingGit(Path(clone), int(calls)), remote="origin", spool=Path(spool), now=lambda: NOW).append([held(event)])


def spool(clone, folder, event, renames):
    left = int(renames)
    replace = Path.replace

    def dying(self, target):
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return replace(self, target)

    Path.replace = dying
    Ledger(Git(Path(clone)), remote="origin", spool=Path(folder), now=lambda: NOW).append(
        [held(event), held(f"{event}b", "production")], blobs={"golden/x.json": b"{}\n"}
    )


if __name__ == "__main__":
    {"many": many, "die": die, "spool": spool}[sys.argv[1]](*sys.argv[2:])
