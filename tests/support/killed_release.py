"""`killed_release.py SHOP STEP PUSH`: a release of a saved shop that ends its own process by SIGKILL right after a step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.releasing import Shop


def main() -> None:
    """One minor release at the laptop."""
    saved, wanted, push = sys.argv[1:4]

    def step(name: str) -> None:
        if name == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    report = Shop.load(Path(saved)).release("minor", step=step, push=push == "push")
    sys.stderr.write(f"not killed: {report.verdict} {list(report.rows)}\n")


if __name__ == "__main__":
    main()
