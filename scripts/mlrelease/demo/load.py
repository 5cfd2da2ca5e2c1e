"""Requests at a steady rate from a process of their own, a JSON line each; and what such lines add up to.

`python -m mlrelease.demo.load --requests FILE --rate 100 --out FILE`, until SIGTERM. The file is a JSON list of
`{"name", "url", "payload"}`, which are asked in turn. Open loop: a request is due by the clock, whether or not earlier ones
were answered, so that a slow server cannot hide behind its own slowness. Nothing is tried twice: what a client would see
as an error is one here. The standard library alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO
from urllib.parse import urlsplit

from mlrelease.deadlines import DEADLINES_S

HIGHEST_RATE = 200.0
"""Requests per second: beyond this the threads of one Python process become what is measured."""

_TICK_S = 0.05
"""As long as this a generator that was told to stop may sleep on."""

OVERLAP_S = 1.0
"""Around a switch old and new answer side by side, requests being under way; by then a version that answers again is back."""

_HEADERS = {"version": "x-model-version", "bundle": "x-bundle", "revision": "x-revision"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked again and again: under which name it is counted, where it is posted, and its JSON body."""

    name: str
    url: str
    payload: bytes

    @property
    def server(self) -> str:
        """`host:port`."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: when it was due, sent and over (seconds since 1970), and its status, or 0 and the error."""

    due: float
    start: float
    end: float
    status: int
    error: str = ""
    version: str = ""
    bundle: str = ""
    revision: str = ""
    request_id: str = ""
    name: str = ""

    @property
    def failed(self) -> bool:
        """No answer, or one other than 2xx."""
        return not 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a version answered: from the start of its first request to the end of its last."""

    version: str
    first: float
    last: float
    answers: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What the lines of one load add up to; `spans` by their beginning, `answers` by the start of the request."""

    sent: int
    failed: int
    spans: tuple[Span, ...]
    answers: tuple[Answered, ...]

    @property
    def failures(self) -> tuple[Answered, ...]:
        """The requests that failed."""
        return tuple(answer for answer in self.answers if answer.failed)

    def of(self, name: str) -> Summary:
        """Of the requests of this name alone."""
        return _summary(answer for answer in self.answers if answer.name == name)

    def versions(self, since: float, until: float = float("inf")) -> Mapping[str, int]:
        """How many requests that were sent at `since` or later and over by `until` each version answered."""
        return Counter(a.version for a in self.answers if not a.failed and a.start >= since and a.end <= until)


def summarize(lines: Iterable[str]) -> Summary:
    """The summary of a load's output. A last line that is cut off is left out; raises `ValueError` for any other damage."""
    text = [line for line in lines if line.strip()]
    if text and not text[-1].endswith("\n"):
        text.pop()
    return _summary(sorted((Answered(**json.loads(line)) for line in text), key=lambda a: a.start))


def _summary(given: Iterable[Answered]) -> Summary:
    answers = tuple(given)
    failed = sum(answer.failed for answer in answers)
    return Summary(len(answers), failed, _spans(answers), answers)


def _spans(answers: Iterable[Answered]) -> tuple[Span, ...]:
    """One span per version and stay: a version that answers again `OVERLAP_S` after another took over begins a new one."""
    spans: list[Span] = []
    latest: dict[str, int] = {}
    relieved: set[str] = set()
    for answer in (a for a in answers if not a.failed):
        at = latest.get(answer.version, -1)
        if at < 0 or (answer.version in relieved and answer.start - spans[at].last > OVERLAP_S):
            latest[answer.version] = len(spans)
            spans.append(Span(answer.version, answer.start, answer.end, 1))
        else:
            span = spans[at]
            spans[at] = Span(span.version, span.first, max(span.last, answer.end), span.answers + 1)
        relieved = {version for version in latest if version != answer.version}
    return tuple(spans)


class Load:
    """The generator: one thread keeps the clock, the others each hold a connection. `run` comes back when all is over."""

    def __init__(self, asked: Sequence[Asked], *, rate: float, out: TextIO) -> None:
        self._asked = tuple(asked)
        self._rate = rate
        self._out = out
        self._due: queue.SimpleQueue[tuple[float, Asked] | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._stopped = False  # no Event: its lock may be held by the very thread that a signal interrupts
        self._broken: OSError | None = None

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Sends nothing new; what is in flight is finished. Fits as a signal handler."""
        self._stopped = True

    def run(self, seconds: float) -> None:
        """Sends for so long, or until `stop`. Raises `OSError` when a line cannot be written."""
        # A quarter of a second of requests may be in flight before one waits for a connection.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(max(8, min(64, round(self._rate / 4))))]
        for thread in threads:
            thread.start()
        began, at = time.monotonic(), time.time()
        count = 0
        while self._goes_on_until(began + count / self._rate):
            if count / self._rate >= seconds:
                break
            self._due.put((at + count / self._rate, self._asked[count % len(self._asked)]))
            count += 1
        for _ in threads:
            self._due.put(None)
        for thread in threads:
            thread.join()
        if self._broken is not None:
            raise self._broken

    def _goes_on_until(self, moment: float) -> bool:
        while not self._stopped and (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_S))
        return not self._stopped

    def _work(self) -> None:
        connections: dict[str, http.client.HTTPConnection] = {}
        while (due := self._due.get()) is not None:
            at, asked = due
            connection = connections.get(asked.server) or _connection(asked.server)
            answered, keep = _ask(connection, asked, at)
            if keep:
                connections[asked.server] = connection
            else:
                connection.close()
                connections.pop(asked.server, None)
            self._write(_line(answered))
        for connection in connections.values():
            connection.close()

    def _write(self, line: str) -> None:
        try:
            with self._writing:
                self._out.write(line)
                self._out.flush()
        except OSError as error:  # a full disk: `run` says so, in the main thread
            self._broken = error
            self.stop()


def _connection(server: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server, timeout=DEADLINES_S["demo.request"])


def _ask(connection: http.client.HTTPConnection, asked: Asked, due: float) -> tuple[Answered, bool]:
    """One request, and whether the connection can take another."""
    path = urlsplit(asked.url).path or "/"
    request_id = uuid.uuid4().hex
    start = time.time()
    try:
        connection.request("POST", path, asked.payload, {"Content-Type": "application/json", "X-Request-Id": request_id})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Answered(due, start, time.time(), 0, what, request_id=request_id, name=asked.name), False
    said = {name: response.getheader(header, "") for name, header in _HEADERS.items()}
    wrong = "" if 200 <= response.status < 300 else f"status {response.status}"
    answered = Answered(due, start, time.time(), response.status, wrong, **said, request_id=request_id, name=asked.name)
    return answered, not response.will_close


def _line(answered: Answered) -> str:
    names = Answered.__slots__
    values: dict[str, Any] = {name: getattr(answered, name) for name in names}
    return json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}) + "\n"


def read_requests(path: Path) -> tuple[Asked, ...]:
    """What a file of requests says. Raises `ValueError` for one that says something else, `OSError` when it cannot be read."""
    try:
        said = json.loads(path.read_text())
        found = tuple(Asked(str(r["name"]), str(r["url"]), json.dumps(r["payload"]).encode()) for r in said)
    except (TypeError, KeyError) as error:
        raise ValueError("not a list of requests with name, url and payload") from error
    if not found or any(urlsplit(asked.url).scheme != "http" for asked in found):
        raise ValueError("at least one request, each to a url that begins with http://")
    return found


def main(arguments: list[str]) -> int:
    """The program: 0 when it was stopped or its time was over, 1 when a file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m mlrelease.demo.load", description="Requests at a steady rate.")
    parser.add_argument("--requests", required=True, type=Path, metavar="FILE", help='JSON: [{"name", "url", "payload"}, …]')
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a JSON line per request goes here")
    parser.add_argument("--rate", type=float, default=25.0, help=f"requests per second, up to {HIGHEST_RATE:g}")
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long; SIGTERM ends it before")
    options = parser.parse_args(arguments)
    if not 0 < options.rate <= HIGHEST_RATE:
        parser.error(f"--rate is above 0 and at most {HIGHEST_RATE:g}")
    try:
        asked = read_requests(options.requests)
        with options.out.open("w", encoding="utf-8") as out:
            load = Load(asked, rate=options.rate, out=out)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, load.stop)
            load.run(options.seconds)
    except OSError as error:
        sys.stderr.write(f"load: {error.filename or options.out}: {error.strerror}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"load: {options.requests}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
