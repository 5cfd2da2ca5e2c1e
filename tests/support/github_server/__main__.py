"""The local GitHub as a process of its own: says where it is in one line of JSON, and serves until its stdin closes."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from support.github_server import running_github


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(prog="python -m support.github_server")
    parser.add_argument("folder", type=Path, help="where the bare repositories are kept")
    parser.add_argument("repositories", nargs="*", help="owner/name of each that is created")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with running_github(asked.folder, port=asked.port) as hub:
        for name in asked.repositories:
            hub.repository(name)
        known = {name: {"git": hub.git_url(name), "variables": hub.environment_variables(name)} for name in asked.repositories}
        sys.stdout.write(json.dumps({"api_url": hub.api_url, "token": hub.token, "repositories": known}) + "\n")
        sys.stdout.flush()
        # The reader ends this process by closing the pipe, also when it dies.
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        ended.wait()


if __name__ == "__main__":
    main()
