"""Becomes the program that a file names: `python -I -S launch.py FILE` with `{"argv": [...], "env": {...}}` inside.

Between supervisor and what it runs, so that no argument and no secret has to survive the quoting of an ini file or
stand on a command line. Only the standard library, and not much of it: it runs at every start.
"""

from __future__ import annotations

import json
import os
import sys


def main(path: str) -> None:
    """Replaces this process; exits 1 with one line when that cannot be."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would double the start-up time
            spec = json.load(file)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - becoming another program is the purpose
    except (OSError, ValueError, LookupError, TypeError) as e:
        sys.exit(f"{path}: cannot be run: {type(e).__name__}: {e}")


if __name__ == "__main__":
    main(sys.argv[1])
