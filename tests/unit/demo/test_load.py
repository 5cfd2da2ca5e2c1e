"""The load: what its lines add up to, and what it does to a server."""

from __future__ import annotations

import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest
from mlrelease.demo.load import Answered, Asked, Load, read_requests, summarize

PORT_CLOSED = "http://127.0.0.1:9/invocations"


def requests_file(path, *urls):
    """A file that asks these, in turn, under the names `one`, `two` and so on."""
    names = ("one", "two", "three")
    path.write_text(json.dumps([{"name": n, "url": u, "payload": {}} for n, u in zip(names, urls, strict=False)]))
    return str(path)


def line(start, version="1", *, status=200, seconds=0.01, **more):
    """One line as the load writes it."""
    return json.dumps(asdict(Answered(start, start, start + seconds, status, version=version, **more))) + "\n"


def spans(*lines):
    """The spans, rounded."""
    return [(s.version, round(s.first, 2), round(s.last, 2), s.answers) for s in summarize(lines).spans]


def test_nothing_adds_up_to_nothing():
    """Without a line nothing was sent, and nothing failed."""
    summary = summarize([])
    assert (summary.sent, summary.failed, summary.spans) == (0, 0, ())


def test_each_stay_of_a_version_is_a_span():
    """A version that comes back after another begins a span of its own."""
    assert spans(line(1.0), line(3.0), line(4.0, "2"), line(9.0, "2"), line(10.0), line(11.0)) == [
        ("1", 1.0, 3.01, 2),
        ("2", 4.0, 9.01, 2),
        ("1", 10.0, 11.01, 2),
    ]


def test_a_switch_under_way_is_no_new_stay():
    """Around a switch old and new answer side by side: that is one span each."""
    lines = [line(1.0), line(1.02, "2"), line(1.04), line(1.06, "2"), line(1.08)]
    assert spans(*lines) == [("1", 1.0, 1.09, 3), ("2", 1.02, 1.07, 2)]


def test_silence_alone_begins_no_span():
    """A version that answers again after a pause, nobody else having answered, never left."""
    assert spans(line(1.0), line(60.0)) == [("1", 1.0, 60.01, 2)]


def test_lines_may_come_in_any_order():
    """Threads write when they are done: the summary is by the start of the requests."""
    assert spans(line(4.0, "2"), line(1.0), line(3.0)) == [("1", 1.0, 3.01, 2), ("2", 4.0, 4.01, 1)]


@pytest.mark.parametrize(
    ("status", "failed"),
    [(200, 0), (204, 0), (0, 1), (301, 1), (404, 1), (503, 1)],
    ids=["200", "another 2xx", "no answer", "a redirect", "the client's fault", "the server's fault"],
)
def test_what_counts_as_failed(status, failed):
    """Everything but an answer of 2xx is a failure, and answers for no version."""
    summary = summarize([line(1.0, status=status)])
    assert (summary.sent, summary.failed, len(summary.failures), len(summary.spans)) == (1, failed, failed, 1 - failed)


def test_versions_counts_what_was_sent_after_a_moment():
    """A request that was under way at the moment belongs to neither side."""
    summary = summarize([line(1.0, seconds=5.0), line(2.0, "2"), line(3.0, "2"), line(4.0, "", status=503)])
    assert summary.versions(2.0) == {"2": 2}
    assert summary.versions(0.0, 2.5) == {"2": 1}
    assert summary.versions(0.0) == {"1": 1, "2": 2}


def test_a_line_that_is_being_written_is_left_out():
    """The file can be read at any moment."""
    assert summarize([line(1.0), line(2.0)[:20]]).sent == 1


def test_damage_is_no_summary():
    """A line in the middle that is no line of a load is not skipped."""
    with pytest.raises(ValueError, match="Expecting value"):
        summarize(["nonsense\n", line(2.0)])


class _Server(http.server.ThreadingHTTPServer):
    """Answers like a service: `delay_s` is its speed, `connections` counts those that were opened, `ids` the requests."""

    daemon_threads = True
    delay_s = 0.0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = 0
        self.ids = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/invocations"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.ids.append(self.headers["X-Request-Id"])
        time.sleep(self.server.delay_s)
        self.send_response(200)
        for name, value in (("X-Model-Version", "7"), ("X-Bundle", "b"), ("X-Revision", "r"), ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def server():
    """A server in a thread."""
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run_load(url, path, *, rate, seconds):
    """One load in this process; its summary."""
    with path.open("w") as out:
        Load([Asked("one", url, b"{}")], rate=rate, out=out).run(seconds)
    with path.open() as lines:
        return summarize(lines)


def test_it_sends_at_its_rate_and_keeps_connections(server, tmp_path):
    """As many requests as the clock asks for, over few connections, each with an id of its own."""
    summary = run_load(server.url, tmp_path / "out", rate=100, seconds=0.5)
    assert (summary.sent, summary.failed) == (50, 0)
    assert {(a.version, a.bundle, a.revision) for a in summary.answers} == {("7", "b", "r")}
    assert sorted(a.request_id for a in summary.answers) == sorted(server.ids)
    assert len(set(server.ids)) == 50
    assert server.connections <= 25


def test_several_are_asked_in_turn(server, tmp_path):
    """Each gets its share under its own name, and one that is down takes nothing from the others."""
    asked = read_requests(tmp_path / requests_file(tmp_path / "requests", server.url, PORT_CLOSED))
    with (tmp_path / "out").open("w") as out:
        Load(asked, rate=100, out=out).run(0.4)
    with (tmp_path / "out").open() as lines:
        summary = summarize(lines)
    assert [(name, summary.of(name).sent, summary.of(name).failed) for name in ("one", "two")] == [
        ("one", 20, 0),
        ("two", 20, 20),
    ]
    assert (summary.sent, summary.failed) == (40, 20)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "at least one request"),
        ('[{"name": "a", "url": "https://localhost/", "payload": {}}]', "begins with http://"),
        ('[{"name": "a", "url": "http://localhost/"}]', "not a list of requests"),
        ('{"name": "a"}', "not a list of requests"),
        ("3", "not a list of requests"),
        ("{", "Expecting property name"),
    ],
    ids=["nothing", "another scheme", "no payload", "no list", "a number", "no JSON"],
)
def test_what_is_no_file_of_requests(content, said, tmp_path):
    """It is refused with the reason, before anything is sent."""
    (tmp_path / "requests").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_requests(tmp_path / "requests")


def test_the_stays_of_one_name_are_its_own():
    """Two services that are asked in turn do not relieve each other."""
    lines = [line(s, v, name=n) for s, v, n in ((1.0, "1", "a"), (1.1, "7", "b"), (3.0, "1", "a"), (3.1, "7", "b"))]
    summary = summarize(lines)
    assert [(s.version, s.answers) for s in summary.of("a").spans] == [("1", 2)]
    assert [(s.version, s.answers) for s in summary.of("b").spans] == [("7", 2)]
    assert summary.of("c").sent == 0


def test_a_slow_server_is_not_asked_less(server, tmp_path):
    """Open loop: what is due while others wait is sent beside them."""
    server.delay_s = 0.2
    began = time.monotonic()
    summary = run_load(server.url, tmp_path / "out", rate=40, seconds=0.5)
    assert (summary.sent, summary.failed) == (20, 0)
    assert time.monotonic() - began < 3.0  # one after the other they would take four seconds


def test_nobody_there_is_a_failure_each(tmp_path):
    """A refused connection is counted, with its reason, and does not end the load."""
    summary = run_load(PORT_CLOSED, tmp_path / "out", rate=50, seconds=0.2)
    assert (summary.sent, summary.failed) == (10, 10)
    assert "refused" in summary.answers[0].error


def test_sigterm_finishes_what_is_in_flight(server, tmp_path):
    """Every request that the server saw has its line, and the exit code is 0."""
    server.delay_s = 0.1
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "mlrelease.demo.load", "--requests", requests_file(tmp_path / "requests", server.url)]
    load = subprocess.Popen([*argv, "--rate", "50", "--out", str(out)])
    try:
        end = time.monotonic() + 20
        while not (out.exists() and out.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(load.pid, signal.SIGTERM)
        assert load.wait(10) == 0
    finally:
        load.kill()
        load.wait()
    with out.open() as lines:
        summary = summarize(lines)
    assert summary.failed == 0
    assert sorted(a.request_id for a in summary.answers) == sorted(server.ids)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rate", "0"], 2, "--rate is above 0"),
        (["--rate", "201"], 2, "at most 200"),
        (["--requests", "missing"], 1, "load: missing: No such file"),
        (["--requests", os.devnull], 1, f"load: {os.devnull}: Expecting value"),
    ],
    ids=["no rate", "more than it can do", "no requests", "an empty file"],
)
def test_what_it_refuses(arguments, code, said, tmp_path):
    """A command line that makes no sense, or a file that is not there, is one line and an exit code."""
    argv = ["--requests", requests_file(tmp_path / "requests", PORT_CLOSED), "--out", "out", "--seconds", "0.1", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "mlrelease.demo.load", *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


class _Full(io.StringIO):
    """A file on a disk that is full for a moment."""

    def write(self, text):
        """Fails as the first write to a full disk does."""
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_it():
    """What cannot be written down ends the load with the reason, not in silence."""
    began = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        Load([Asked("one", PORT_CLOSED, b"{}")], rate=50, out=_Full()).run(60.0)
    assert time.monotonic() - began < 30


def test_a_full_disk_is_one_line(tmp_path):
    """The program says which file could not be written."""
    argv = ["--requests", requests_file(tmp_path / "requests", PORT_CLOSED), "--out", "/dev/full", "--seconds", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "mlrelease.demo.load", *argv], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (1, "load: /dev/full: No space left on device\n")
