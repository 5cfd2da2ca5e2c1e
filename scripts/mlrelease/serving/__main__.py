"""`python -m mlrelease.serving CONFIG.json`: one instance of the reference model server."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from mlrelease import log
from mlrelease.errors import Error
from mlrelease.serving.config import read_config
from mlrelease.serving.server import serve
from mlrelease.serving.standalone import runtime


def main(arguments: list[str]) -> int:
    """Serves; gives the exit code: 0 stopped, 1 errored, 2 usage, 3 wrong digest, 4 cannot load, 5 golden differs."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m mlrelease.serving CONFIG.json\n")
        return 2
    log.configure(level=logging.INFO, json=True)
    try:
        config = read_config(Path(arguments[0]))
        values = {"service": config.service, "instance": config.instance, "bundle": config.bundle}
        log.bind(**values, **({"run_id": config.run_id} if config.run_id else {}))
        return serve(config if config.runtime else replace(config, runtime=runtime()))
    except Error as e:
        log.get("serving").error(e.message, hint=e.hint, where=e.where)
        return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A prediction that did not end within drain_s keeps its thread: a normal exit would wait for it for ever.
    os._exit(code)
