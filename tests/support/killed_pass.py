"""`killed_pass.py CLONE STEP`: a pass that ends itself by SIGKILL right after the step was recorded."""

from __future__ import annotations

import os
import signal
import sys

from mlrelease.commands.workspace import new_ulid, open_workspace
from mlrelease.delivery.passes import Order, run_pass
from mlrelease.delivery.steps import StepMark


def main() -> None:
    """One pass over `production` at the tip."""
    folder, step = sys.argv[1:3]

    def listener(mark: StepMark) -> None:
        if mark.name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    workspace = open_workspace(folder, run_id="killed")
    desired = workspace.desired()
    site = workspace.site(desired.spec.environments["production"])
    order = Order(actor="Test", trigger="deploy", run_id="killed", new_id=new_ulid, listener=listener)
    run_pass(site, desired, order)


if __name__ == "__main__":
    main()
