"""What a process may still do once it has isolated or confined itself: each in a real process, short and bare."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import mlrelease
import pytest
from mlrelease.serving import isolation
from mlrelease.serving.isolation import LARGEST_FILE
from support.unix_http import short_folder

MEMORY = 1 << 30
ROOT = Path(mlrelease.__file__).parents[1]
NEWNET, NEWUSER = 0x40000000, 0x10000000


def child(code, *arguments, **options):
    """A bare interpreter that runs the code with everything of `isolation` imported."""
    prelude = "import json, os, resource, signal, socket, sys\nfrom pathlib import Path\n"
    prelude += "from mlrelease.serving import isolation\nfrom mlrelease.serving.isolation import *\n"
    text = prelude + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-S", "-c", text, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        **options,
    )  # fmt: skip


def told(code, *arguments, **options):
    done = child(code, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# ---- the limits of `isolate`


def test_the_limits_hold_and_are_told():
    """Memory, processor time, file size and no core dumps; hard ones too, so that nothing lifts them again."""
    code = """
        said = isolate(memory_bytes=1 << 30, cpu_s=77)
        names = ("AS", "CPU", "FSIZE", "CORE")
        print(json.dumps([said, {n: resource.getrlimit(getattr(resource, f"RLIMIT_{n}")) for n in names}]))
    """
    said, limits = told(code)
    network = {key: said.pop(key) for key in ("network", "network_reason") if key in said}
    assert said == {"memory_bytes": MEMORY, "cpu_s": 77, "file_bytes": LARGEST_FILE}
    assert network.keys() == ({"network"} if network["network"] == "none" else {"network", "network_reason"})
    assert limits == {"AS": [MEMORY] * 2, "CPU": [77, 78], "FSIZE": [LARGEST_FILE] * 2, "CORE": [0, 0]}


def test_a_limit_that_is_tighter_already_stays():
    """What the machine's owner set is not lifted, also for root."""
    code = """
        resource.setrlimit(resource.RLIMIT_CPU, (10, 20))
        isolation._limit(memory_bytes=1 << 30, cpu_s=77)
        print(json.dumps(resource.getrlimit(resource.RLIMIT_CPU)))
    """
    assert told(code) == [20, 20]


def test_processes_are_limited_only_for_another_user():
    """For our own user the limit would count everything that runs under it."""
    code = """
        before = resource.getrlimit(resource.RLIMIT_NPROC)
        isolation._limit(memory_bytes=1 << 40, cpu_s=77)
        same = resource.getrlimit(resource.RLIMIT_NPROC) == before
        isolation._limit(memory_bytes=1 << 40, cpu_s=77, processes=9)
        print(json.dumps([same, resource.getrlimit(resource.RLIMIT_NPROC)]))
    """
    assert told(code) == [True, [9, 9]]


def test_no_file_grows_beyond_the_limit(tmp_path):
    """The write fails, or the signal ends the process; on disk lies no more than that."""
    code = f"""
        isolate(memory_bytes=1 << 30, cpu_s=77)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open({str(tmp_path / "big")!r}, "wb") as file:
            file.truncate(isolation.LARGEST_FILE)
            try:
                file.truncate(isolation.LARGEST_FILE + 1)
            except OSError as e:
                print(json.dumps(e.errno))
    """
    assert told(code) == 27
    assert (tmp_path / "big").stat().st_size == LARGEST_FILE


def test_memory_beyond_the_limit_is_an_error_of_python():
    """Not the end of the machine."""
    code = """
        isolate(memory_bytes=1 << 30, cpu_s=77)
        try:
            bytearray(1 << 31)
        except MemoryError:
            print(json.dumps("none"))
    """
    assert told(code) == "none"


def test_processor_time_ends():
    """By the signal that says so: the parent can tell it from a crash."""
    code = """
        isolation._limit(memory_bytes=1 << 40, cpu_s=1)
        while True:
            pass
    """
    assert child(code).returncode == -signal.SIGXCPU


class Refusing:
    """A C library whose kernel grants only these flags."""

    def __init__(self, *granted):
        self.granted = granted
        self.asked = []

    def unshare(self, flags):
        self.asked.append(flags)
        return 0 if flags in self.granted else -1


@pytest.mark.parametrize(
    ("granted", "asked", "network"),
    [
        ((NEWNET,), [NEWNET], "none"),
        ((NEWNET | NEWUSER,), [NEWNET, NEWNET | NEWUSER], "none"),
        ((), [NEWNET, NEWNET | NEWUSER], "host"),
    ],
    ids=["granted at once", "inside a user namespace", "not granted"],
)
def test_the_network_is_left_in_the_least_way_that_is_granted(monkeypatch, granted, asked, network):
    """And where none is, the reason is told instead of a promise."""
    libc = Refusing(*granted)
    monkeypatch.setattr(isolation, "_libc", lambda: libc)
    said = isolation._leave_network()
    assert (libc.asked, said["network"]) == (asked, network)
    assert ("network_reason" in said) == (network == "host")


# ---- `confine`

CONFINED = "held = confine(Path(sys.argv[1]), memory_bytes=1 << 40, cpu_s=77)\n"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def confined(home, code, *arguments):
    """What a confined process says, and what it was granted."""
    held, said = told(CONFINED + textwrap.dedent(code) + "\nprint(json.dumps([held, said]))", home, *arguments)
    return said, set(held)


def needs(held, *parts):
    if not set(parts) <= held:
        pytest.skip(f"the kernel does not grant: {', '.join(sorted(set(parts) - held))}")


def test_what_is_granted_is_told_with_the_limits(home):
    """The amounts come last, in words for people."""
    held, _ = told(CONFINED + "print(json.dumps([held, 0]))", home)
    assert held[-2:] == [f"{1 << 20} MiB", "77 s of processor time"]
    known = {"no network", "processes of its own", "read-only files", "another user", "no capabilities"}
    assert set(held[:-2]) <= known


def test_it_is_the_first_process_of_its_own_world(home):
    """It sees no other, and what it starts ends with it."""
    said, held = confined(home, "said = [os.getpid(), os.getcwd(), [n for n in os.listdir('/proc') if n.isdigit()]]")
    assert said[1] == str(home)
    needs(held, "processes of its own", "read-only files")
    assert said == [1, str(home), ["1"]]


def test_a_confined_process_out_of_processor_time_is_told_from_a_crash(home):
    """The first process of a namespace does not hear the signal that says so."""
    code = "confine(Path(sys.argv[1]), memory_bytes=1 << 40, cpu_s=1)\n"
    assert child(code + "while True:\n    pass\n", home).returncode == -signal.SIGXCPU
    assert child(code + "os._exit(9)\n", home).returncode == 9


def test_only_its_home_can_be_written(home, tmp_path):
    """Neither what lies beside it nor anything else, though the files' modes would let it."""
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    outside.chmod(0o666)
    code = """
        said = []
        for place in ("own", sys.argv[2], "/tmp/mlrelease-was-here"):
            try:
                open(place, "a").write("x")
                said.append("written")
            except OSError as e:
                said.append(type(e).__name__)
    """
    said, held = confined(home, code, outside)
    assert (home / "own").read_text() == "x"
    assert said[0] == "written"
    needs(held, "read-only files")
    assert said[1:] == ["OSError", "OSError"]
    assert outside.read_text() == "as it was"
    assert not os.path.exists("/tmp/mlrelease-was-here")


def test_no_address_can_be_reached(home):
    """Not even its own machine."""
    code = """
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))
            said = "reached"
        except OSError:
            said = "none"
    """
    said, held = confined(home, code)
    needs(held, "no network")
    assert said == "none"


def test_no_power_is_left_and_none_comes_back(home):
    """No capability in any set, and no program that would give one."""
    code = "said = [line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs'))]"
    said, held = confined(home, code)
    values = {name: value.strip() for name, _, value in (line.partition(":") for line in said)}
    assert values["NoNewPrivs"] == "1"
    needs(held, "no capabilities")
    assert {values[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("os._exit(7)", 7),
        ("os._exit(0)", 0),
        ("signal.signal(signal.SIGSEGV, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGSEGV); os._exit(9)", None),
        ("raise SystemExit(5)", 5),
    ],
    ids=["a code", "success", "a crash", "an exit"],
)
def test_whoever_waits_sees_the_same_end(home, ends, code):
    """Although another process is in between."""
    done = child(CONFINED + ends, home)
    # The first process of a namespace gets no deadly signal from itself: there the kernel lets it go on.
    assert done.returncode in ((code,) if code is not None else (-signal.SIGSEGV, 9))


def test_a_confined_process_ends_with_the_one_that_waits_for_it(home):
    """Whoever gives up on a trial kills the process that it started: the one behind it must not go on alone."""
    code = "from mlrelease.serving.isolation import *\nimport signal, sys\nfrom pathlib import Path\n" + CONFINED
    code += "print('in', flush=True)\nsignal.pause()\n"
    command = [sys.executable, "-S", "-c", code, str(home)]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]})
    assert waiting.stdout.readline() == b"in\n"
    waiting.kill()
    assert waiting.communicate(timeout=30)[0] == b""  # comes back only when nobody holds its output any more


def test_a_child_ends_with_the_process_that_forked_it():
    """Also where that is killed, and although the child has a group of its own."""
    code = """
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            isolation.end_with_parent()
            os.setpgid(0, 0)
            os.write(writing, b"ready")
            signal.pause()
        os.close(writing)
        os.read(reading, 5)
        os.set_inheritable(reading, True)
        sys.stdout.write("0\\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = child(code)  # the child holds stdout: this comes back only when it has ended too
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n")


def test_a_model_on_trial_ends_with_the_process_that_tries_many():
    """That one may be killed by the machine, for memory: a model that hangs must not stay for ever."""
    code = """
        import types
        from mlrelease.serving import goldens

        reading, writing = os.pipe()

        def load(path):
            os.write(writing, b"in")
            signal.pause()

        stub = types.ModuleType("mlrelease.serving.scoring")
        stub.load, stub.mlflow_version = load, str
        sys.modules[stub.__name__] = stub
        if os.fork() == 0:
            goldens._try({"dir": "/", "payload": {}}, Path("/nonexistent/0"), {})
        os.read(reading, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert child(code).returncode == -signal.SIGKILL  # comes back only when nobody holds its output any more


@pytest.fixture
def passable():
    """An empty folder that every user may enter, on a way that every user may go."""
    with short_folder() as folder:
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    ("mode", "parent", "readable"),
    [(0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False), (0o644, 0o711, True)],
    ids=["open", "closed", "in a closed folder", "in a folder that may be passed"],
)
def test_another_user_must_be_able_to_read_what_is_needed(passable, mode, parent, readable):
    """Of the file itself, and the way to it."""
    place = passable / "folder" / "file"
    place.parent.mkdir()
    place.write_text("")
    place.chmod(mode)
    place.parent.chmod(parent)
    assert isolation._is_readable_by_all(place) is readable


@pytest.mark.parametrize(("mode", "readable"), [(0o755, True), (0o744, False), (0o711, False)])
def test_a_folder_must_be_passed_as_well_as_read(passable, mode, readable):
    """Its list alone is no use, nor is the way without the list."""
    (passable / "folder").mkdir()
    (passable / "folder").chmod(mode)
    assert isolation._is_readable_by_all(passable / "folder") is readable


def test_an_ordinary_user_cannot_become_another(tmp_path, monkeypatch):
    """Nothing is given away on the way."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    before = tmp_path.stat().st_uid
    assert isolation._become_nobody(tmp_path, ()) is False
    assert tmp_path.stat().st_uid == before
