"""`doctor`: every check in every state it can have, all at once, offline too, and never a value of a variable."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from mlrelease.commands.doctor import clone, host, record, servers, software
from mlrelease.commands.doctor.checks import (
    WHY,
    WHY_GITHUB,
    Check,
    Line,
    Patient,
    State,
    ask_all,
    bad,
    ok,
    skipped,
    unknown,
    warn,
)
from mlrelease.commands.doctor.verb import GROUPS, doctor, report
from mlrelease.delivery.agent import ownership
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.forge.git import Git
from mlrelease.model.event import Held
from mlrelease.model.when import iso
from support.faulty_server import closed_port, error, faulty, raw
from support.newcomer import as_json, golden, newcomer, text
from support.repositories import git

SECRET = "hunter2-very-secret"
API = "/api/2.0/mlflow/model-versions/search"


@pytest.fixture
def here(tmp_path):
    """A repository with a remote, its state folder not yet made."""
    return newcomer(tmp_path, remote=True, state_dir=str(tmp_path / "st"), listen=f"127.0.0.1:{free_port()}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def patient(made, **variables):
    """Everything of the repository, with these variables set besides."""
    known = replace(made, variables=dict(made.variables) | variables)
    spec = known.worktree_spec()
    return Patient(known, tuple(spec.environments.values()))


def production(who):
    return who.environments[0]


def edited(made, old, new):
    """The environment's file with a text replaced, and the patient after it."""
    path = "environments/production/environment.yaml"
    assert old in made.read(path)
    made.write(path, made.read(path).replace(old, new))
    return patient(made)


def at(made, url, **variables):
    """The patient whose MLflow is there, asked over the real adapter."""
    from mlrelease.commands.workspace import Workspace

    plain = Workspace(
        made.git, made.branch, made.actor, made.run_id, dict(made.variables) | {"MLFLOW_TRACKING_URI": url} | variables
    )
    return Patient(plain, tuple(plain.worktree_spec().environments.values()))


# -- the whole ---------------------------------------------------------------------------------------------------------


def lines():
    """One line of each state."""
    return [
        Line("git", "", ok("git version 2.39.5")),
        Line("git-remote", "", warn("the repository has no remote", "git remote add origin URL")),
        Line("ledger", "production", skipped("nothing was recorded yet")),
        Line("mlflow", "production", bad("MLflow at http://mlflow:5000 did not answer: refused", "is it running?")),
        Line("image", "production", unknown("the image registry did not answer", "see its status")),
    ]


def test_the_report_in_full(capsys, update_golden):
    """Why and what to do stand beside what is not well; the first bad one is the next step."""
    golden("doctor/report.txt", text(report(lines()), capsys), update=update_golden)


def test_the_json_has_these_keys(capsys):
    """Stable; why it matters stands beside what is well too."""
    found = as_json(report(lines()), capsys)
    assert found["counts"] == {"ok": 1, "warn": 1, "bad": 1, "unknown": 1, "skipped": 1}
    assert (found["scope"], found["exit_code"], found["next"]) == ("local", 1, "is it running?")
    assert found["github"] == {"asked": False, "reason": "the remote is not on GitHub", "repository": ""}
    assert [sorted(check) for check in found["checks"]] == [["check", "docs", "environment", "fix", "state", "what", "why"]] * 5
    assert found["checks"][0]["why"] == "every verb goes through it"


@pytest.mark.parametrize(
    ("found", "code"),
    [((), 0), ((ok(""),), 0), ((warn("", ""), skipped("")), 0), ((unknown("", ""),), 0), ((ok(""), bad("", "")), 1)],
    ids=["nothing", "all well", "warnings", "not known", "one bad"],
)
def test_only_what_is_bad_fails(found, code):
    """A warning is no reason for a red pipeline."""
    assert report([Line("git", "", one) for one in found]).exit_code == code


def test_offline_every_other_check_still_answers(here):
    """Remote and MLflow away: those lines are bad, none is missing, and it does not take for ever."""
    (here.root.parent / "origin.git").rename(here.root.parent / "away.git")
    begun = time.monotonic()
    with closed_port() as port:
        found = doctor(at(here, f"http://127.0.0.1:{port}").workspace, ())
    assert time.monotonic() - begun < 40
    states = {row[2]: row[0] for row in found.rows}
    assert set(states) == set(WHY)
    assert {check for check, state in states.items() if state == "bad"} == {
        *("git-branch", "git-push", "mlflow", "mlflow-version", "clock")
    }
    assert (states["ledger"], states["envoy"], states["git-identity"]) == ("warn", "ok", "ok")


@pytest.mark.parametrize("name", ["nowhere", "../production", ""])
def test_wrong_names_are_refused(here, name):
    """A typo must not look like a healthy environment."""
    with pytest.raises(UsageError, match="no environment"):
        doctor(here, (name,))


def test_no_value_of_a_variable_is_shown(here):
    """Names only, in table and JSON, whatever is wrong."""
    variables = {
        "MLFLOW_TRACKING_USERNAME": SECRET,
        "MLFLOW_TRACKING_PASSWORD": SECRET,
        "MLFLOW_TRACKING_TOKEN": SECRET,
    }
    with faulty(routes={API: error(401, "UNAUTHENTICATED")}) as server:
        address = server.url.replace("http://", f"http://user:{SECRET}@")
        found = doctor(at(here, address, **variables).workspace, ("production", "production"))
    lines_found = [(row[1], row[2]) for row in found.rows]
    assert len(lines_found) == len(set(lines_found))  # an environment that is named twice is asked about once
    assert SECRET not in json.dumps(found.to_json()) + str(found.rows) + found.verdict + found.next
    assert "MLFLOW_TRACKING_TOKEN" in str(found.rows)


# -- asking ------------------------------------------------------------------------------------------------------------


def _raises(problem):
    def ask():
        raise problem

    return ask


@pytest.mark.parametrize(
    ("problem", "what", "fix"),
    [
        (Error("no", hint="do"), "no", "do"),
        (UnavailableError("away", hint="wait"), "away", "wait"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", "see who owns it, and as whom you run this"),
        (KeyError("k"), "the check itself failed: KeyError: 'k'", "please report this"),
    ],
    ids=["an error of ours", "something away", "the operating system's", "a defect"],
)
def test_a_check_that_raises_is_a_bad_line(problem, what, fix):
    """The others have theirs."""
    first, second = ask_all([Check("git", _raises(problem)), Check("disk", lambda: ok("room"))], deadline_s=5)
    assert (first.found.state, first.found.what, first.found.fix) == (State.BAD, what, fix)
    assert second.found == ok("room")


def test_a_check_that_hangs_does_not_hold_up_the_others():
    """At the deadline it is a line, and the rest is there."""
    release = threading.Event()
    try:
        questions = [Check("git", lambda: ok(str(release.wait(60)))), Check("disk", lambda: ok("room"))]
        begun = time.monotonic()
        hanging, done = ask_all(questions, deadline_s=0.2)
    finally:
        release.set()
    assert time.monotonic() - begun < 10
    assert (hanging.found.state, hanging.found.what) == (State.BAD, "no answer within 0.2 s")
    assert done.found == ok("room")


def test_a_question_says_what_its_silence_means():
    """Of what could not be looked at, nobody knows whether it is bad."""
    release = threading.Event()
    try:
        (line,) = ask_all([Check("image", lambda: ok(str(release.wait(60))), late=State.UNKNOWN)], deadline_s=0.2)
    finally:
        release.set()
    assert (line.found.state, line.found.what) == (State.UNKNOWN, "no answer within 0.2 s")


def test_checks_run_beside_each_other():
    """Each of twelve waits for all of them: one after the other they would never end."""
    together = threading.Barrier(12, timeout=30)

    def ask():
        together.wait()
        return ok("")

    found = list(ask_all([Check("git", ask)] * 12, deadline_s=40))
    assert {line.found.state for line in found} == {State.OK}


def test_every_check_has_a_reason(here):
    """And every reason a check."""
    asked = {check.id for group in GROUPS for check in group.checks(patient(here))}
    assert asked == set(WHY)


def test_no_two_checks_have_one_name():
    """Reasons, documentation and JSON go by it."""
    assert not set(WHY) & set(WHY_GITHUB)


def test_every_check_is_explained(here):
    """`docs/doctor.md` has a heading for each, in the order of the output's groups, and none besides."""
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == [*WHY, *WHY_GITHUB]
    for id_, why in (WHY | WHY_GITHUB).items():
        section = page.split(f"## {id_}\n")[1].split("\n## ")[0]
        said = re.sub(r"\s+", " ", section)
        assert why[1:] in said, id_
        assert "- `ok`: " in section, id_
        assert "- to mend it: " in section, id_


# -- the clone ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "state"),
    [("git version 2.39.5", State.OK), ("git version 2.30.0", State.OK), ("git version 2.29.9", State.BAD), ("?", State.BAD)],
)
def test_git_is_new_enough(here, tmp_path, monkeypatch, says, state):
    """Older ones lack what commits and pushes rely on."""
    real = Git(here.root).root()
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/git"
    script.write_text(f"#!/bin/sh\necho '{says}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = clone.version(Patient(replace(here, git=Git(real)), ()))
    assert (found.state, found.what) == (state, says)


def test_no_identity_is_bad(here, tmp_path, monkeypatch):
    """With the command that sets it."""
    assert clone.identity(patient(here)) == ok("Test <test@example.com>")
    (tmp_path / "nobody").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    found = clone.identity(patient(here))
    assert (found.state, "git config --global user.name" in found.fix) == (State.BAD, True)


def test_remote_and_branch(here, tmp_path):
    """Without a remote it is a warning; a branch that the remote does not have is bad, with the push that mends it."""
    assert clone.remote(patient(here)).what == f"origin: {tmp_path / 'origin.git'}"
    assert clone.branch(patient(here)).what == f"origin/main at {here.head[:9]}"
    other = replace(here, branch=replace(here.branch, branch="release"))
    assert clone.branch(patient(other)) == bad("origin has no branch release", "git push origin release")
    alone = replace(here, branch=replace(here.branch, remote=""))
    assert clone.remote(patient(alone)).state is State.WARN
    assert clone.branch(patient(alone)) == ok(f"main at {here.head[:9]}")
    assert clone.push(patient(alone)) == skipped("no remote to push to")


def test_the_push_is_tried_and_leaves_nothing(here):
    """A dry run: the remote says yes, and has no new ref."""
    before = git(here.root.parent / "origin.git", "for-each-ref")
    assert clone.push(patient(here)) == ok("origin takes a push (dry run)")
    assert git(here.root.parent / "origin.git", "for-each-ref") == before


def test_a_remote_that_takes_no_push_is_bad(here):
    """Here one that is not reached for writing; who may only read cannot record what was deployed."""
    git(here.root, "remote", "set-url", "--push", "origin", str(here.root.parent / "nowhere.git"))
    (line,) = ask_all([Check("git-push", lambda: clone.push(patient(here)))], deadline_s=30)
    assert line.found.state is State.BAD
    assert line.found.fix


def test_a_shallow_clone_is_bad(here, tmp_path):
    """Old commits are what rollbacks are made of."""
    assert clone.history(patient(here)) == ok("the clone is complete")
    here.commit("Another")
    git(here.root, "push", "--quiet", "origin", "main")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path / 'origin.git'}", "shallow")
    shallow = replace(here, git=Git(tmp_path / "shallow"))
    assert clone.history(patient(shallow)) == bad("the clone is shallow", "git fetch --unshallow")


def test_findings_are_bad(here):
    """The first by its place, the rest by their number."""
    assert clone.files(patient(here)) == ok("1 environments without a finding")
    found = clone.files(edited(here, "keep_warm: 10m", "colour: red\nshape: round\nkeep_warm: 10m"))
    assert found.state is State.BAD
    assert found.what.startswith("2 findings, the first environments/production/environment.yaml:")
    assert found.fix == "mlrelease validate --offline"


# -- the ledger --------------------------------------------------------------------------------------------------------


def test_the_chain_is_verified(here, tmp_path):
    """Empty, whole, and tampered with."""
    assert record.chain(patient(here), "production") == skipped("nothing was recorded yet")
    for number in (1, 2):
        here.ledger().append([Held(here.new_id(), "production", 1.0, "ann", f"number {number}")])
    assert record.chain(patient(here), "production") == ok("2 events, the chain holds")
    git(tmp_path, "clone", "--quiet", "--branch", "mlrelease/ledger", "origin.git", "tamper")
    event = min((tmp_path / "tamper/production/events").iterdir())
    event.write_text(event.read_text().replace("ann", "eve"))
    git(tmp_path / "tamper", "commit", "--quiet", "-am", "tamper")
    git(tmp_path / "tamper", "push", "--quiet", "origin", "HEAD")
    found = record.chain(patient(here), "production")
    assert found.state is State.BAD
    assert "mlrelease history production" in found.fix


@pytest.mark.parametrize(
    ("age_s", "state", "what"),
    [
        (10.0, State.OK, "reconciled 10 s ago"),
        (299.0, State.OK, "reconciled 4 min ago"),
        (301.0, State.BAD, "(5 min)"),
        (3 * 86400.0 + 5, State.BAD, "(3 d)"),
        (-30.0, State.OK, "reconciled 0 s ago"),
        (-3600.0, State.WARN, "min ahead of this clock"),
    ],
    ids=["just now", "some minutes", "too long", "days", "a little ahead", "an hour ahead"],
)
def test_the_heartbeat_has_an_age(here, age_s, state, what):
    """An agent that stopped, or a clock that is wrong."""
    here.ledger().beat("production", {"at": iso(time.time() - age_s), "revision": "abc"})
    found = record.heartbeat(patient(here), "production")
    assert found.state is state
    assert what in found.what


def test_no_heartbeat_or_a_damaged_one(here):
    """Nobody reconciles; or nobody can tell."""
    assert record.heartbeat(patient(here), "production") == warn(
        "no agent ever reported", "on its host: mlrelease agent production"
    )
    here.ledger().beat("production", {"at": "yesterday"})
    assert record.heartbeat(patient(here), "production").what == "the heartbeat cannot be read"


# -- MLflow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "state", "what"),
    [
        ("http://mlflow:5000", State.OK, "the files name none"),
        ("${MLFLOW_TRACKING_URI}", State.OK, "set, or with a default: MLFLOW_TRACKING_URI"),
        ("${NOT_SET:-http://127.0.0.1:5000}", State.OK, "set, or with a default: NOT_SET"),
        ("${NOT_SET}", State.BAD, "not set here: NOT_SET"),
        ("http://${NOT_SET}:${PORT_NOT_SET}", State.BAD, "not set here: NOT_SET, PORT_NOT_SET"),
        ("http://${NOT_SET:-a}:${PORT_NOT_SET}", State.BAD, "not set here: PORT_NOT_SET"),
    ],
)
def test_every_variable_without_default_has_to_be_set(here, uri, state, what):
    """By name, never by value."""
    who = patient(here)
    environment = replace(production(who), tracking_uri=uri)
    found = servers.variables(who, environment)
    assert (found.state, found.what) == (state, what)


def test_variables_of_services_count_too(here):
    """They are expanded where the service is started."""
    path = "environments/production/services/wine.yaml"
    here.write(path, here.read(path) + "env:\n  TOKEN: ${SERVICE_TOKEN}\n")
    who = patient(here)
    assert servers.variables(who, production(who)) == bad(
        "not set here: SERVICE_TOKEN", "export SERVICE_TOKEN=…, where mlrelease runs"
    )
    who = patient(here, SERVICE_TOKEN=SECRET)
    assert servers.variables(who, production(who)).state is State.OK


@pytest.mark.parametrize(
    ("route", "what"),
    [
        (
            raw(b"Invalid Host header - possible DNS rebinding attack detected", 403, content_type="text/plain"),
            "under this host name",
        ),
        (error(401, "UNAUTHENTICATED"), "refused the credentials"),
        (raw(b"<html>log in</html>", 200, content_type="text/html"), ""),
    ],
    ids=["a host that it does not allow", "credentials that it does not take", "a login page"],
)
def test_an_mlflow_that_looks_healthy_and_is_not(here, route, what):
    """/health answers 200 in each of these cases: the API is what counts."""
    with faulty(routes={API: route, "/health": raw(b"OK", 200, content_type="text/plain")}) as server:
        who = at(here, server.url)
        (line,) = ask_all([Check("mlflow", lambda: servers.api(who, production(who)))], deadline_s=30)
    assert line.found.state is State.BAD
    assert what in line.found.what
    assert line.found.fix


@pytest.mark.parametrize(
    ("says", "state", "what"),
    [
        ("2.22.0", State.OK, "MLflow 2.22.0"),
        ("3.17.2", State.OK, "MLflow 3.17.2"),
        ("2.21.9", State.WARN, "MLflow 2.21.9 was not tried"),
        ("4.0.0", State.WARN, "MLflow 4.0.0 was not tried"),
        ("3.9.0rc1", State.OK, "MLflow 3.9.0rc1"),
        ("<html>", State.SKIPPED, "the server does not say its version (200)"),
        ("", State.SKIPPED, "the server does not say its version (200)"),
    ],
)
def test_the_version_was_tried_or_not(here, says, state, what):
    """Known to work from 2.22 to 3.17."""
    with faulty(routes={"/version": raw(says.encode(), 200, content_type="text/plain")}) as server:
        who = at(here, server.url)
        found = servers.version(who, production(who))
    assert (found.state, found.what) == (state, what)


@pytest.mark.parametrize(
    ("variables", "state", "what"),
    [
        ({}, State.OK, "none are set"),
        ({"USERNAME": "u", "PASSWORD": "p"}, State.WARN, "sent in the clear"),
        ({"TOKEN": "t", "USERNAME": "u"}, State.WARN, "the token is used"),
        ({"PASSWORD": "p"}, State.BAD, "without MLFLOW_TRACKING_USERNAME"),
        ({"USERNAME": "u"}, State.BAD, "without MLFLOW_TRACKING_PASSWORD"),
    ],
    ids=["none", "both, over http", "two kinds", "a password alone", "a name alone"],
)
def test_credentials_by_name(here, variables, state, what):
    """What would fail or surprise."""
    who = at(here, "http://mlflow.acme.com:5000", **{f"MLFLOW_TRACKING_{name}": value for name, value in variables.items()})
    found = servers.credentials(who, production(who))
    assert found.state is state
    assert what in found.what


@pytest.mark.parametrize("address", ["https://mlflow.acme.com", "http://127.0.0.1:5000", "http://localhost:5000"])
def test_credentials_are_safe_over_tls_and_on_this_machine(here, address):
    """No warning where nobody listens."""
    who = at(here, address, MLFLOW_TRACKING_TOKEN=SECRET)
    assert servers.credentials(who, production(who)) == ok("set: MLFLOW_TRACKING_TOKEN")


@pytest.mark.parametrize(
    ("ahead_s", "state"),
    [
        (0, State.OK),
        (20, State.OK),
        (-20, State.OK),
        (60, State.WARN),
        (-60, State.WARN),
        (3600, State.BAD),
        (-3600, State.BAD),
    ],
)
def test_clocks_that_are_apart(here, ahead_s, state):
    """Locks and holds end by the clock of whoever looks."""
    date = formatdate(time.time() + ahead_s, usegmt=True)
    with _dated(date) as url:
        who = at(here, url)
        found = servers.clock(who, production(who))
    assert found.state is state
    assert state is State.OK or ("behind" if ahead_s > 0 else "ahead of") in found.what


def _dated(date):
    """A server whose every answer has this `Date`."""
    from contextlib import contextmanager
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(200)
            if date:
                self.send_header("Date", date)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    @contextmanager
    def running():
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return running()


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_server_that_does_not_say_the_time(here, date):
    """Nothing is concluded from it."""
    with _dated(date) as url:
        who = at(here, url)
        assert servers.clock(who, production(who)) == skipped("the server does not say the time")


# -- software ----------------------------------------------------------------------------------------------------------


def test_isolation_says_what_it_is(here):
    """Tried out in a process: no network, or the host's with the reason."""
    found = software.isolation()
    assert found.state in (State.OK, State.WARN)
    assert ("no network" in found.what) is (found.state is State.OK)


def _envoy(folder, body):
    folder.mkdir()
    script = folder / "envoy"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("body", "state", "what"),
    [
        ("echo; echo 'envoy  version: 1a/1.40.0/Clean/RELEASE/BoringSSL'", State.OK, "Envoy 1.40.0 runs"),
        ("echo 'envoy  version: 1a/1.38.2/Clean/RELEASE/BoringSSL'", State.BAD, "1.39 is the oldest"),
        ("echo 'GLIBC_2.30 not found' >&2; exit 1", State.BAD, "ends with 1: GLIBC_2.30 not found"),
        ("echo hello", State.BAD, "does not say its version"),
        ("kill -9 $$", State.BAD, "ends with -9"),
    ],
    ids=["a good one", "too old", "a library is missing", "another program", "killed"],
)
def test_an_envoy_that_does_not_run(tmp_path, monkeypatch, body, state, what):
    """Found where it is looked for, and tried."""
    import importlib.util

    script = _envoy(tmp_path / "bin", body)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    assert os.access(script, os.X_OK)
    (line,) = ask_all([Check("envoy", software.envoy)], deadline_s=30)
    assert line.found.state is state
    assert what in line.found.what


# -- the host ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("soft", "state"), [(512, "bad"), (1024, "warn"), (4096, "ok")])
def test_open_files(soft, state):
    """In a process of its own: a limit once lowered stays."""
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, hard)); "
        "from mlrelease.commands.doctor.host import open_files; print(open_files().state.value)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == state


def test_the_state_folder(here, tmp_path):
    """Not there yet, there, open to others, a file, and a path too long for sockets."""
    who, folder = patient(here), tmp_path / "st"
    assert host.state_dir(who, production(who)) == ok(f"{folder} can be made")
    folder.mkdir(mode=0o700)
    assert host.state_dir(who, production(who)) == ok(str(folder))
    folder.chmod(0o755)
    assert host.state_dir(who, production(who)) == warn(f"{folder} can be read by others", f"chmod 700 {folder}")
    folder.rmdir()
    folder.write_text("a file")
    assert host.state_dir(who, production(who)).what == f"{folder} is no folder"
    long = edited(here, str(folder), str(tmp_path / ("x" * 100)))
    found = host.state_dir(long, production(long))
    assert (found.state, "bytes too long for unix sockets" in found.what) == (State.BAD, True)


def test_a_state_folder_on_one_file_system(here, tmp_path):
    """Another one mounted below it (here: the kernel's own) would make moves into place fail."""
    who, folder = patient(here), tmp_path / "st"
    assert host.filesystem(who, production(who)).state is State.SKIPPED
    folder.mkdir()
    (folder / "cache").mkdir()
    assert host.filesystem(who, production(who)) == ok(f"{folder} is one file system")
    (folder / "cache").rmdir()
    (folder / "cache").symlink_to("/proc")
    assert host.filesystem(who, production(who)).what == f"on another file system than {folder}: cache"


def test_the_disk_has_a_number(here, tmp_path):
    """Of the folder that there is."""
    who = patient(here)
    found = host.disk(who, production(who))
    assert f"free at {tmp_path}" in found.what
    about = os.statvfs(tmp_path)
    free = about.f_bavail * about.f_frsize
    expected = State.BAD if free < host.SCARCE else State.WARN if free < host.LITTLE else State.OK
    assert found.state is expected


def test_a_port_that_is_taken_is_bad(here):
    """By whom, if this user may know."""
    who = patient(here)
    listen = production(who).target.listen
    assert host.port(who, production(who)) == ok(f"{listen} is free")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(listen.rpartition(":")[2])))
        taken.listen()
        (line,) = ask_all([Check("port", lambda: host.port(who, production(who)))], deadline_s=30)
    assert (line.found.state, f"{listen} cannot be used: taken" in line.found.what) == (State.BAD, True)


def test_interpreters_are_asked(here):
    """The one that a service names has to have what the reference server needs."""
    who = patient(here)
    environment = production(who)
    assert host.interpreter(who, environment).state is State.SKIPPED
    named = replace(environment, services={n: replace(s, python="/nowhere/python") for n, s in environment.services.items()})
    (line,) = ask_all([Check("interpreter", lambda: host.interpreter(who, named))], deadline_s=30)
    assert (line.found.state, "/nowhere/python" in line.found.what) == (State.BAD, True)
    ours = replace(environment, services={n: replace(s, python=sys.executable) for n, s in environment.services.items()})
    assert host.interpreter(who, ours) == ok(sys.executable)


def test_the_agent_on_this_host(here, tmp_path):
    """None, one, and an environment that does not run here."""
    who, folder = patient(here), tmp_path / "st"
    assert host.agent(who, production(who)).state is State.SKIPPED
    folder.mkdir(mode=0o700)
    assert host.agent(who, production(who)) == warn("no agent on this host", "mlrelease agent production")
    with ownership(folder):
        assert host.agent(who, production(who)) == ok(f"pid {os.getpid()}")


def test_a_state_folder_whose_variable_is_not_set(here, tmp_path):
    """Each check that needs it says so; none breaks."""
    who = edited(here, str(tmp_path / "st"), "${STATE_NOT_SET}")
    lines_found = list(ask_all(list(host.checks(who)), deadline_s=30))
    what = "target.state_dir: the variable STATE_NOT_SET is not set, and environments/production/environment.yaml needs it"
    wrong = {line.id for line in lines_found if line.found.what == what}
    assert wrong == {"state-dir", "disk", "filesystem", "port", "agent"}
