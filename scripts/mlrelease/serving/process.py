"""The event loop of the server, the thread that loads, and how both end. Imports uvicorn and FastAPI."""

from __future__ import annotations

import contextvars
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import uvicorn

from mlrelease.log import get
from mlrelease.serving.app import make_app
from mlrelease.serving.loading import ExitCode, LoadFailed, load_all
from mlrelease.serving.metrics import Metrics
from mlrelease.serving.server import BACKLOG
from mlrelease.serving.state import ServerState

AT_A_TIME = 64
"""Predictions that run at once: above the 50 of the golden probe, so that the probe really meets itself, and no more than
that, since Python threads share one interpreter lock."""

_KEEP_ALIVE_S = 3900
"""Longer than Envoy keeps an idle connection (one hour): when the server closes first, it may do so under a request."""

_LAME_DUCK_S = 2.0
"""After SIGTERM the listener stays open until nothing is in flight, at most this long: closing it at once would reset
connections that the kernel has accepted and we have not."""


def run(state: ServerState, listener: socket.socket) -> int:
    """Loads in the background and answers until told to stop or until loading fails; gives the exit code."""
    pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="predict")
    config = uvicorn.Config(
        make_app(state, Metrics(state.config), pool),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=BACKLOG,
    )
    server = _Server(config, state)
    # The context carries the run id into the thread's log lines.
    threading.Thread(target=contextvars.copy_context().run, args=(server.load,), name="load", daemon=True).start()
    server.run([listener])
    pool.shutdown(wait=False, cancel_futures=True)
    get("serving").info("stopped", code=int(server.code), in_flight=state.in_flight)
    return int(server.code)


class _Server(uvicorn.Server):
    """uvicorn's server with two phases of stopping: first not ready but answering, then closed."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self.code = ExitCode.DONE
        self._state = state
        self._draining_since = 0.0

    def load(self) -> None:
        """Loads the models; a failure ends the server. Runs in its own thread."""
        log = get("serving")
        try:
            self._state.scorers = load_all(self._state.config.models, self._say)
        except LoadFailed as e:
            log.error("not serving", reason=str(e), code=int(e.code))  # noqa: TRY400 - one clear line; the cause has its own
            self.code = e.code
        except BaseException:
            log.exception("not serving: loading broke off")
            self.code = ExitCode.ERRORED
        else:
            log.info("ready", seconds=round(time.time() - self._state.started_at, 3))
        if self.code is not ExitCode.DONE:
            self._say("loading failed")
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """The first signal starts the drain, a second one skips the lame duck; a second Ctrl-C waits for nothing."""
        if self._state.draining:
            self.force_exit = self.force_exit or sig == signal.SIGINT
            self.should_exit = True
        self._state.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the accepting of connections."""
        if self._state.draining:
            now, drain_s = time.monotonic(), self._state.config.drain_s
            self._draining_since = self._draining_since or now
            waited = now - self._draining_since
            if self._state.in_flight == 0 or waited >= min(_LAME_DUCK_S, drain_s / 2):
                self.should_exit = True
            if self.should_exit:
                # a float is right for asyncio.wait_for, which is where it goes; uvicorn's type says int
                self.config.timeout_graceful_shutdown = max(0.1, drain_s - waited)  # type: ignore[assignment]
        elif self.should_exit:
            self.config.timeout_graceful_shutdown = 1
        return await super().on_tick(counter)

    def _say(self, reason: str) -> None:
        self._state.reason = reason
