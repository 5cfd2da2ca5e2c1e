"""What supervisord is told and how its answers are read."""

from __future__ import annotations

import configparser
import os
import shlex
import sys
import xmlrpc.client

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import launch, supervisor
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.supervisor import EXITED, FATAL, RUNNING, Process, Program, Supervisor
from support.unix_http import answering, short_folder


@pytest.fixture
def layout():
    with short_folder() as folder:
        layout = Layout(folder)
        layout.make()
        yield layout


# ---- what it is told


def program(layout, name="risk-abc-1", argv=("sleep", "60"), **more):
    folder = layout.configs
    return Program(
        name, list(argv), {"PATH": os.environ["PATH"]}, folder / f"{name}.run", f"{name}.log", **({"keep_on": False} | more)
    )


def section(given, root):
    """The section as supervisor's own parser reads it: comments after ` ;` go, `%%` is a percent sign."""
    from supervisor.options import UnhosedConfigParser

    parser = UnhosedConfigParser()
    parser.read_string(supervisor._section(given, root))
    return dict(parser.items(f"program:{given.name}"))


def test_an_instance_is_started_again_after_a_crash_and_not_after_its_own_exit(layout):
    """One log for both streams, bounded; an exit code that is final is final at once."""
    assert section(program(layout), layout.root) == {
        "command": shlex.join([sys.executable, "-I", "-S", launch.__file__, "configs/risk-abc-1.run"]),
        "autostart": "true",
        "autorestart": "unexpected",
        "exitcodes": "1,2,3,4,5",
        "startsecs": "0",
        "startretries": "0",
        "stopsignal": "TERM",
        "stopwaitsecs": "40",
        "killasgroup": "true",
        "stdout_logfile": "logs/risk-abc-1.log",
        "stdout_logfile_maxbytes": "10485760",
        "stdout_logfile_backups": "2",
        "redirect_stderr": "true",
    }


def test_a_proxy_is_started_again_whatever_it_ended_with(layout):
    """With pauses, and with its own words in another log than the requests."""
    told = section(program(layout, "envoy.ab", keep_on=True, joined=False), layout.root)
    assert (told["autorestart"], told["startsecs"], told["startretries"]) == ("true", "1", "1000000")
    assert (told["stderr_logfile"], told["stderr_logfile_maxbytes"], told["stderr_logfile_backups"]) == (
        "logs/envoy.ab.log", "10485760", "2",
    )  # fmt: skip
    assert not {"exitcodes", "redirect_stderr"} & told.keys()


def test_a_percent_sign_in_the_interpreters_path_is_none_of_inis(layout, monkeypatch):
    """Supervisor expands `%(name)s` in commands; everything else there is taken as written."""
    monkeypatch.setattr(sys, "executable", "/opt/50%/a b/python")
    command = section(program(layout), layout.root)["command"] % {}
    assert shlex.split(command)[0] == "/opt/50%/a b/python"


def test_the_configuration_names_no_path_but_relative_ones(layout, monkeypatch):
    """A `%` or ` ;` in the path of the state folder cannot be read as syntax. Root says that it means it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    parser = configparser.RawConfigParser()
    parser.read_string(supervisor._configuration(7))
    assert {name: dict(parser.items(name)) for name in parser.sections()} == {
        "supervisord": {
            "logfile": "logs/supervisord.log",
            "logfile_maxbytes": "10485760",
            "logfile_backups": "2",
            "loglevel": "info",
            "pidfile": "supervisor/7/pid",
            "umask": "077",
            "childlogdir": "logs",
            "strip_ansi": "false",
            "nocleanup": "true",
        },
        "unix_http_server": {"file": "s/v7", "chmod": "0600"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface",
        },
        "include": {"files": "programs/*.conf"},
    }
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    parser.read_string(supervisor._configuration(7).replace("[supervisord]", "[again]", 1))
    assert parser.get("again", "user") == "root"


def test_socket_names_stay_short_after_a_million_starts():
    """`Layout.make` counts on six digits."""
    assert [supervisor._socket_name(n) for n in (1, 999_999, 1_000_000, 1_000_001)] == ["v1", "v999999", "v0", "v1"]


def test_what_a_program_sees_of_our_environment_is_an_allow_list(monkeypatch):
    """Neither tokens nor addresses of registries; the names are compared as a whole."""
    passed = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "SSL_CERT_FILE": "/c", "PYTHONPATH": "/p", "HOME": "/h"}
    kept_back = ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI", "MY_PATH", "PATH_2", "LC_all", "HTTPS_PROXY")
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in (passed | dict.fromkeys(kept_back, "secret")).items():
        monkeypatch.setenv(name, value)
    assert {k: v for k, v in supervisor.scrubbed_environment().items() if k != "PYTEST_CURRENT_TEST"} == passed


# ---- how it is heard


@pytest.mark.parametrize(
    ("state", "runs", "final"),
    [(0, 0, 0), (10, 1, 0), (RUNNING, 1, 0), (30, 1, 0), (40, 0, 0), (EXITED, 0, 1), (FATAL, 0, 1), (1000, 0, 0)],
    ids=["stopped", "starting", "running", "backing off", "stopping", "exited", "fatal", "unknown"],
)
def test_the_states_of_a_program(state, runs, final):
    """It lives or will; it ended for good; or neither."""
    process = Process("x", state, 0, 0, ended_before=False, spawn_error="")
    assert (process.runs, process.final) == (bool(runs), bool(final))


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        (None, 0),
        ('{"generation": 12}', 12),
        ("{}", 0),
        ("[]", 0),
        ("null", 0),
        ('{"generation": "x"}', 0),
        ('{"generation": null}', 0),
        ('{"generation": 1.5}', 0),
    ],
)
def test_which_generation_is_the_present_one(layout, text, generation):
    """0 before the first, and where the file says nothing: the next pass then counts on from the folders."""
    if text is not None:
        layout.supervisor.write_text(text)
    assert Supervisor(layout).generation == generation
    assert Supervisor(layout).folder() == layout.generations / str(generation)


def rpc(result):
    return 200, xmlrpc.client.dumps((result,), methodresponse=True).encode()


def fault(code):
    return 200, xmlrpc.client.dumps(xmlrpc.client.Fault(code, f"FAULT_{code}")).encode()


@pytest.fixture
def asked(layout):
    """A supervisor of generation 1, and a function that has the next questions answered so; what was asked comes back."""
    layout.write_json(layout.supervisor, {"generation": 1})

    def ask_with(answer, act):
        questions = []

        def handle(method, path, body):
            questions.append((method, path, *reversed(xmlrpc.client.loads(body))))
            return answer(len(questions)) if callable(answer) else answer

        with answering(layout.socket("v1"), handle):
            try:
                result = act(Supervisor(layout))
            except Error as e:
                result = e
        return questions, result

    return ask_with


ITEM = {"name": "a", "group": "a", "state": 100, "pid": 0, "exitstatus": -1, "stop": 7, "start": 3, "now": 9, "spawnerr": ""}


def test_all_programs_come_back_by_name(asked):
    """Only those with a moment at which they ended have ended before."""
    questions, found = asked(
        rpc([ITEM, ITEM | {"name": "b", "state": 20, "pid": 5, "stop": 0, "spawnerr": "why"}]), Supervisor.processes
    )
    assert questions == [("POST", "/RPC2", "supervisor.getAllProcessInfo", ())]
    assert found == {
        "a": Process("a", 100, 0, -1, ended_before=True, spawn_error=""),
        "b": Process("b", 20, 5, -1, ended_before=False, spawn_error="why"),
    }


def test_without_a_supervisord_there_are_no_programs_to_name(layout):
    """None, whether there never was one or its socket is stale."""
    assert Supervisor(layout).processes() is None
    layout.write_json(layout.supervisor, {"generation": 1})
    assert Supervisor(layout).processes() is None
    import socket

    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(layout.socket("v1"))
    assert Supervisor(layout).processes() is None
    Supervisor(layout).shut_down()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fault(6), "supervisord refused getAllProcessInfo: FAULT_6"),
        ((200, b"<html>"), "supervisord's answer to getAllProcessInfo cannot be read"),
        ((200, b""), "supervisord's answer to getAllProcessInfo cannot be read"),
        ((500, b"Internal error"), "supervisord's answer to getAllProcessInfo cannot be read"),
        ((200, b"\xff\xfe"), "supervisord's answer to getAllProcessInfo cannot be read"),
        (
            (200, b"<methodResponse><params></params></methodResponse>"),
            "supervisord's answer to getAllProcessInfo cannot be read",
        ),
    ],
    ids=["a fault", "a page", "nothing", "a status", "no text", "no result"],
)
def test_an_answer_that_is_none_is_an_error_with_its_place(layout, asked, answer, message):
    """Said of the question that was asked."""
    _, error = asked(answer, Supervisor.processes)
    assert (error.message, error.where) == (message, str(layout.generations / "1"))


def test_a_supervisord_that_hangs_is_told_apart_from_one_that_is_gone(layout):
    """It accepts, and says nothing: an error with what can be done, not None."""
    import socket

    layout.write_json(layout.supervisor, {"generation": 1})
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(layout.socket("v1"))
        silent.listen()
        with pytest.raises(Error) as caught:
            Supervisor(layout).processes(timeout_s=0.05)
    assert caught.value.message == "supervisord does not answer within 0.05 s"
    assert caught.value.hint == "is it paused? if it hangs, end it: what serves goes on, and the next pass starts another"


@pytest.mark.parametrize("code", [70, 10], ids=["not running", "unknown"])
def test_stopping_what_does_not_run_is_fine(asked, code):
    """It does not wait either."""
    questions, result = asked(fault(code), lambda s: s.stop("x"))
    assert (questions, result) == ([("POST", "/RPC2", "supervisor.stopProcess", ("x", False))], None)


def test_stopping_that_fails_is_an_error(asked):
    """Any other refusal is none that may be passed over."""
    _, error = asked(fault(30), lambda s: s.stop("x"))
    assert error.message == "supervisord refused stopProcess: FAULT_30"


def test_a_program_is_forgotten_once_it_has_ended(layout, asked):
    """Asked again while it runs; then its file goes. One that is unknown is forgotten already."""
    programs = layout.generations / "1" / "programs"
    programs.mkdir(parents=True)
    (programs / "x.conf").write_text("")
    questions, result = asked(lambda n: fault(91) if n < 3 else rpc(True), lambda s: s.discard("x"))
    assert (len(questions), result, list(programs.iterdir())) == (3, None, [])
    questions, result = asked(fault(10), lambda s: s.discard("x"))
    assert (questions, result) == ([("POST", "/RPC2", "supervisor.removeProcessGroup", ("x",))], None)


def test_no_programs_are_no_question(layout):
    """Adding nothing needs no supervisord."""
    Supervisor(layout).add([])


def test_the_number_of_a_start_that_was_cut_off_is_not_taken_again(layout, monkeypatch):
    """Neither that of a folder nor the recorded one: a new supervisord never starts what an older one left."""
    for name in ("9", "12", "notes"):
        (layout.generations / name).mkdir()
    layout.write_json(layout.supervisor, {"generation": 10})
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(Error) as caught:
        Supervisor(layout).ensure()
    assert caught.value.message == "supervisord cannot be started: FileNotFoundError"
    assert caught.value.where == str(layout.generations / "13" / "supervisord.conf")
    assert Supervisor(layout).generation == 13


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'python: No module named supervisor' >&2; exit 1", "supervisor is not installed"),
        ("echo one >&2; echo 'Error: two' >&2; exit 2", "supervisord cannot be started: Error: two"),
        ("echo said; exit 2", "supervisord cannot be started: said"),
        ("exit 2", "supervisord cannot be started: no message"),
    ],
    ids=["not installed", "its last line", "on the other stream", "without a word"],
)
def test_a_supervisord_that_does_not_start_is_told_in_its_own_words(layout, monkeypatch, script, message):
    """With a hint: the command that installs it, or its log."""
    python = layout.root / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(Error) as caught:
        Supervisor(layout).ensure()
    assert caught.value.message == message
    assert caught.value.hint in ("pip install 'mlrelease[local]'", f"see {layout.logs / 'supervisord.log'}")
    assert ("pip" in caught.value.hint) == (message == "supervisor is not installed")
