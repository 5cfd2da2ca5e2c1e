"""`doctor` at its edges: addresses that are none, packages of other versions, odd folders, and every boundary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.doctor import clone, host, record, servers, software
from mlrelease.commands.doctor.checks import Check, Patient, State, ask_all, bad, ok, skipped, warn
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.model.beat import BEAT_S, SILENT_S
from mlrelease.model.when import iso
from support.newcomer import newcomer
from support.pair import identity
from support.repositories import git, repository

pytestmark = pytest.mark.xdist_group("doctor-places")
NOW = 1_800_000_000.0
SECRET = "hunter2"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository with a remote, for tests that leave it as it is."""
    with identity():
        folder = tmp_path_factory.mktemp("places")
        yield newcomer(folder, remote=True, state_dir=str(folder / "st"))


def plain(made, **variables):
    """The patient as the real adapters see it, with these variables besides; one that is empty is taken away."""
    known = {name: value for name, value in (dict(made.variables) | variables).items() if value}
    workspace = Workspace(made.git, made.branch, made.actor, made.run_id, known)
    return Patient(workspace, tuple(workspace.worktree_spec().environments.values()))


def asked(ask, *arguments):
    """State, what and fix of one question, asked as `doctor` asks it."""
    (line,) = ask_all([Check("mlflow", lambda: ask(*arguments))], deadline_s=30)
    return line.found.state, line.found.what, line.found.fix


# -- MLflow's address --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [servers.version, servers.clock, servers.credentials], ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("address", [f"http://ada:{SECRET}[@host:5000", "http://[::1:5000", "https://[host]x/"])
def test_an_address_that_is_none_is_a_line_and_no_defect_of_ours(made, ask, address):
    """A slip in a variable: the way out is said, the password is not."""
    who = plain(made, MLFLOW_TRACKING_URI=address, MLFLOW_TRACKING_TOKEN="t")
    assert asked(ask, who, who.environments[0]) == (
        State.BAD, "the address of MLflow cannot be read", "see tracking_uri and what its variables hold",
    )  # fmt: skip


def test_the_report_of_such_an_address_holds_no_password(made):
    """Neither does any other line of it."""
    who = plain(made, MLFLOW_TRACKING_URI=f"http://ada:{SECRET}[@host:5000", MLFLOW_TRACKING_TOKEN=SECRET)
    questions = list(servers.checks(who))
    lines = list(ask_all(questions, deadline_s=30))
    assert [line.id for line in lines] == ["variables", "mlflow", "mlflow-version", "credentials", "clock"]
    assert SECRET not in str(lines)
    assert "please report" not in str(lines)


CLEAR = warn("set: MLFLOW_TRACKING_TOKEN; sent in the clear over http", "an https address for MLflow")
ALONE = bad("MLFLOW_TRACKING_PASSWORD is set without MLFLOW_TRACKING_USERNAME", "export MLFLOW_TRACKING_USERNAME=…")
BOTH = warn("MLFLOW_TRACKING_TOKEN and MLFLOW_TRACKING_USERNAME are both set: the token is used", "unset one")


@pytest.mark.parametrize(
    ("address", "variables", "found"),
    [
        ("sqlite:///x.db", {"TOKEN": "t"}, ok("set: MLFLOW_TRACKING_TOKEN")),
        ("http://[::1]:5000", {"TOKEN": "t"}, ok("set: MLFLOW_TRACKING_TOKEN")),
        ("HTTP://mlflow:5000", {"TOKEN": "t"}, CLEAR),
        ("http://localhost.acme.com", {"TOKEN": "t"}, CLEAR),
        ("http://mlflow", {"INSECURE_TLS": "true"}, ok("set: MLFLOW_TRACKING_INSECURE_TLS")),
        ("http://mlflow", {"USERNAME": "", "PASSWORD": ""}, ok("none are set: MLflow is asked without")),
        ("https://mlflow", {"TOKEN": "t", "PASSWORD": "p"}, ALONE),
        ("https://mlflow", {"TOKEN": "t", "USERNAME": "u", "PASSWORD": "p"}, BOTH),
    ],
    ids=[
        "a file", "this machine by IPv6", "another case", "a host that begins like this one", "no secret", "empty ones",
        "a password and a token", "all",
    ],
)  # fmt: skip
def test_what_is_sent_to_whom(made, address, variables, found):
    """Names of variables only; a name and a password travel together."""
    named = {f"MLFLOW_TRACKING_{name}": value for name, value in variables.items()}
    who = plain(made, MLFLOW_TRACKING_URI=address, **named)
    assert servers.credentials(who, who.environments[0]) == found


@pytest.mark.parametrize(
    ("text", "variables", "found"),
    [
        ("${A}-${A}-${B:-x}", {"A": "1"}, ok("set, or with a default: A, B")),
        ("${A}", {"A": ""}, bad("not set here: A", "export A=…, where mlrelease runs")),
        ("${B}${A}", {}, bad("not set here: A, B", "export A=…, where mlrelease runs")),
        ("${A:-}", {}, ok("set, or with a default: A")),
        ("$A {A} $(A)", {}, ok("the files name none")),
    ],
    ids=["one twice, one with a default", "taken away", "two", "an empty default", "other dollars"],
)
def test_variables_are_looked_for_by_name(made, text, variables, found):
    """In the order of the alphabet, each once."""
    who = plain(made, **variables)
    assert servers.variables(who, replace(who.environments[0], tracking_uri=text, target=_target(who, ""))) == found


def _target(who, state_dir):
    return replace(who.environments[0].target, state_dir=state_dir)


NTP = "set both clocks by one source: NTP"


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (-1.0, ok("+0 s apart from X")),
        (3.0, ok("+0 s apart from X")),
        (-1.5, ok("-2 s apart from X")),
        (31.0, ok("+30 s apart from X")),
        (-29.0, ok("-30 s apart from X")),
        (32.0, warn("31 s behind X", NTP)),
        (-30.0, warn("31 s ahead of X", NTP)),
        (301.0, warn("300 s behind X", NTP)),
        (302.0, bad("301 s behind X", NTP)),
        (-300.0, bad("301 s ahead of X", NTP)),
    ],
)
def test_clocks_are_compared_by_whole_seconds(there, found):
    """Two seconds of our own passed while it answered: what lies between them, give or take one, is no difference."""
    assert servers.compared(NOW, NOW + there, NOW + 2, "X") == found


# -- software ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """What importlib finds installed first: a `mlrelease` with these requirements, and packages of these versions."""

    def make(*requirements, **versions):
        for name, version in ({"mlrelease": "1"} | versions).items():
            folder = tmp_path / f"{name}-{version}.dist-info"
            folder.mkdir()
            needs = [f"Requires-Dist: {one}\n" for one in requirements] if name == "mlrelease" else []
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{''.join(needs)}")
        monkeypatch.syspath_prepend(str(tmp_path))

    return make


FIX = "pip install 'mlrelease[local]'"
FINE = ok("those of mlrelease[local]")
ONE = "one-of-ours==1.0; extra == 'local'"


@pytest.mark.parametrize(
    ("requirements", "version", "found"),
    [
        ((ONE,), "1.0", FINE),
        (('one-of-ours (==1.0) ; extra == "local"',), "1.0", FINE),
        (('one-of-ours (==1.0) ; extra == "local"',), "1.1", bad("another version: one-of-ours 1.1 (not 1.0)", FIX)),
        (("one-of-ours>=1.0,<2; extra == 'local'",), "3", FINE),
        (("one-of-ours[x]==1.0; extra == 'local'",), "2", bad("another version: one-of-ours 2 (not 1.0)", FIX)),
        (("no-x==1; extra == 'local'", "no-y; extra == 'local'"), "1", bad("not installed: no-x, no-y", FIX)),
        (("no-x==1; extra == 'demo'", "no-y", "z; extra == 'localhost'"), "1", FINE),
        (("no-x; extra == 'local'", ONE), "2", bad("not installed: no-x", FIX)),
    ],
    ids=[
        "the version that it wants", "in brackets", "another one in brackets", "a range", "with an extra of its own",
        "two that are missing", "other extras", "missing comes first",
    ],
)  # fmt: skip
def test_the_packages_of_the_extra(installed, requirements, version, found):
    """Those with an exact version at that version; what another extra wants is not asked for."""
    installed(*requirements, one_of_ours=version)
    assert software.packages() == found


def test_a_program_that_is_not_there_or_does_not_end_well_is_said(tmp_path):
    """By name, with its own last words, at most so many."""
    from mlrelease.commands.doctor.software import _output

    script = tmp_path / "tool"
    script.write_text(f"#!/bin/sh\necho first\necho {'x' * 300} >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(Error) as failed:
        _output([str(script)])
    assert failed.value.message == f"{script} ends with 3: {'x' * 200}"
    script.write_text("#!/bin/sh\nexit 4\n")
    with pytest.raises(Error, match="ends with 4: it says nothing"):
        _output([str(script)])
    script.write_text("#!/bin/sh\necho first; echo last; echo aside >&2\n")
    assert _output([str(script)]) == "last"
    script.unlink()
    with pytest.raises(Error, match=r"tool cannot be run: .*No such file") as failed:
        _output([str(script)])
    assert failed.value.hint == FIX


# -- the host ----------------------------------------------------------------------------------------------------------


def named(who, folder):
    """The environment with that state folder."""
    return replace(who.environments[0], target=_target(who, str(folder)))


def test_a_state_folder_below_a_file_is_no_folder(made, tmp_path):
    """The nearest place above it that is there is what cannot be used."""
    (tmp_path / "file").write_text("")
    who = plain(made)
    assert host.state_dir(who, named(who, tmp_path / "file" / "deep" / "st")) == bad(
        f"{tmp_path / 'file'} is no folder", "set target.state_dir in environment.yaml"
    )


@pytest.mark.parametrize(("mode", "state"), [(0o700, "ok"), (0o701, "warn"), (0o710, "warn"), (0o744, "warn")])
def test_whose_the_state_folder_is(made, tmp_path, mode, state):
    """Artifacts and sockets lie there: others read neither."""
    folder = tmp_path / "s"
    folder.mkdir()
    folder.chmod(mode)
    who = plain(made)
    assert host.state_dir(who, named(who, folder)).state.value == state


def test_a_path_is_too_long_by_the_byte(made, tmp_path):
    """Names of instances come behind it; what the kernel takes is bytes, not letters."""
    from mlrelease.targets.local.files import LONGEST_SOCKET_PATH

    who = plain(made)
    room = LONGEST_SOCKET_PATH - len("/s/v123456.4194304")
    fits = "/" + "x" * (room - 1)
    assert host.state_dir(who, named(who, fits)) == ok(f"{fits} can be made")
    assert host.state_dir(who, named(who, fits + "y")).what == f"{fits}y: 1 bytes too long for unix sockets"
    assert host.state_dir(who, named(who, fits[:-1] + "é")).what.endswith(": 1 bytes too long for unix sockets")


def test_what_asks_nothing_of_the_host_without_an_environment(made):
    """A repository whose files are all broken still has its clone looked at."""
    nobody = Patient(made, ())
    assert [*host.checks(nobody), *software.checks(nobody), *servers.checks(nobody), *record.checks(nobody)] == []
    assert [check.id for check in clone.checks(nobody)][:2] == ["git", "git-identity"]


# -- the ledger and the clone ------------------------------------------------------------------------------------------


class Beating(Patient):
    """A patient whose clock stands, and whose agent said something."""

    def __init__(self, said):
        class Desk:
            now = staticmethod(lambda: NOW)

            @staticmethod
            def ledger():
                return type("Book", (), {"heartbeat": staticmethod(lambda _name: said)})

        super().__init__(Desk, ())


@pytest.mark.parametrize(
    ("age", "found"),
    [
        (0.0, ok("reconciled 0 s ago")),
        (SILENT_S, ok("reconciled 5 min ago")),
        (-BEAT_S, ok("reconciled 0 s ago")),
    ],
)
def test_a_beat_within_its_bounds(age, found):
    """Both ends included: the clocks of two hosts differ."""
    assert record.heartbeat(Beating({"at": iso(NOW - age)}), "production") == found


def test_a_beat_out_of_its_bounds():
    """A second more is a word with a way out."""
    late = record.heartbeat(Beating({"at": iso(NOW - SILENT_S - 1)}), "production")
    assert late == bad(
        f"reconcile has not run since {iso(NOW - SILENT_S - 1)} (5 min)", "on its host: mlrelease agent production"
    )
    early = record.heartbeat(Beating({"at": iso(NOW + BEAT_S + 1)}), "production")
    assert early == warn("the agent's last report lies 61 s ahead of this clock", "set both clocks by one source: NTP")


@pytest.mark.parametrize("said", [{}, {"at": None}, {"at": 7}, {"at": "2027-01-15T08:00:00"}, {"at": ["x"]}])
def test_a_beat_that_is_damaged_is_bad(said):
    """A moment without a zone is none."""
    assert record.heartbeat(Beating(said), "production") == bad(
        "the heartbeat cannot be read", "on its host: mlrelease agent production"
    )


def test_a_remote_is_shown_without_its_password(made, tmp_path):
    """It stands in a report that is pasted into an issue."""
    root = repository(tmp_path / "clone")
    git(root, "remote", "add", "origin", f"https://ada:{SECRET}@git.example.com/acme/models.git?token={SECRET}")
    found = clone.remote(Patient(replace(made, git=Git(root)), ()))
    assert found.state is State.OK
    assert SECRET not in found.what
    assert "git.example.com/acme/models.git" in found.what


def test_a_clone_without_a_commit(made, tmp_path):
    """Nothing can be pushed, and nothing is deployed; the command that mends it is said."""
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet", "--initial-branch=main")
    alone = replace(made, git=Git(tmp_path / "empty"), branch=replace(made.branch, remote=""))
    assert clone.push(Patient(alone, ())) == skipped("nothing is committed yet")
    assert clone.branch(Patient(alone, ())) == bad("there is no commit on main", "git commit")
    assert clone.history(Patient(alone, ())) == ok("the clone is complete")
