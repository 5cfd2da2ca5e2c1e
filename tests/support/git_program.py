"""A `git` on PATH that does something else for one of its commands, and is the real one for all others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def standing_in(folder: Path, monkeypatch, command: str, script: str) -> Callable[[], int]:
    """Has `git … COMMAND …` run this shell script first; how often it did so far. The script may `exit`, or go on to git.

    `$calls` is the number of this call, from 1.
    """
    real, place, count = shutil.which("git"), folder / "standing-in", folder / f"calls-{command}"
    place.mkdir()
    text = f'case " $* " in *" {command} "*) echo x >> {count}\ncalls=$(wc -l < {count})\n{script}\n;; esac\nexec {real} "$@"\n'
    (place / "git").write_text(f"#!/bin/sh\n{text}")
    (place / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return lambda: len(count.read_text().split()) if count.exists() else 0
