"""Limits that a process sets on itself before it loads a model that nobody has tried yet. Linux; reports what it got.

`isolate` is what golden predictions are computed under. `confine` is more, for a model's first trial: processes of its
own, files it cannot change, another user. Each part holds where the kernel grants it, and what was granted is told.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import Any

LARGEST_FILE = 64 << 20
"""Bytes of any one file that may be written."""

MOST_PROCESSES = 128
"""Processes and threads of the other user: what a model's libraries start is a tenth of that."""

NOBODY = 65534
"""The user that owns nothing, by the kernel's own convention (`/proc/sys/kernel/overflowuid`)."""

_OFFLINE, _APART = "no network", "processes of its own"

_CLONE_NEWNS = 0x00020000  # linux/sched.h, as all of these
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 8, 32, 4096  # sys/mount.h
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_MOUNT_SETATTR, _CAPSET = 442, {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, -1)  # asm/unistd.h
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1  # linux/fcntl.h, linux/mount.h
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


def isolate(*, memory_bytes: int, cpu_s: int) -> dict[str, Any]:
    """Applies the limits for good; gives what now holds, `network` being `none` or `host` with the reason.

    Call it before any thread is started: a user namespace can only be left for a new one by a single thread.
    """
    network = _leave_network()
    _limit(memory_bytes=memory_bytes, cpu_s=cpu_s)
    return {**network, "memory_bytes": memory_bytes, "cpu_s": cpu_s, "file_bytes": LARGEST_FILE}


def confine(home: Path, *readable: Path, memory_bytes: int, cpu_s: int) -> tuple[str, ...]:
    """Puts this process and all that it starts apart for good; gives what it is kept from or to.

    Comes back in a new process, the first of its own namespace where that is granted: when it ends, the kernel ends all
    that it started. The one that called waits for it and ends the same way. `home` stays writable, and becomes the other
    user's, if that one may read `readable` and the libraries. Call it before any thread is started. Raises `OSError`.
    """
    granted = _namespaces()
    if _APART in granted:
        _continue_as_child(cpu_s)
        if _mount_read_only(home):
            granted.append("read-only files")
    os.chdir(home)  # where it was before lies below the new mount, and is read-only
    is_other = _become_nobody(home, readable)
    if is_other:
        granted.append("another user")
    _limit(memory_bytes=memory_bytes, cpu_s=cpu_s, processes=MOST_PROCESSES if is_other else 0)
    libc = _libc()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _drop_capabilities():
        granted.append("no capabilities")
    end_with_parent()  # after the change of user, which lifts it
    return (*granted, f"{memory_bytes >> 20} MiB", f"{cpu_s} s of processor time")


def end_with_parent() -> None:
    """From now on the kernel ends this process when the one that forked it ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _leave_network() -> dict[str, str]:
    """A network namespace with nothing in it, alone where allowed, else inside a user namespace of its own."""
    libc = _libc()
    problem = ""
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return {"network": "none"}
        problem = os.strerror(ctypes.get_errno())
    return {"network": "host", "network_reason": f"unshare: {problem}"}


def _limit(*, memory_bytes: int, cpu_s: int, processes: int = 0) -> None:
    limits = [
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        # At the hard limit the kernel sends SIGKILL, and so no SIGXCPU where the soft one is the same (setrlimit(2)).
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_FSIZE, LARGEST_FILE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    if processes:
        limits.append((resource.RLIMIT_NPROC, processes, processes))
    for limit, soft, hard in limits:
        most = resource.getrlimit(limit)[1]
        bounds = (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
        resource.setrlimit(limit, bounds)


def _namespaces() -> list[str]:
    """What the namespaces granted keep the process from: all of them, inside a user namespace for a user without rights."""
    libc = _libc()
    user, group = os.geteuid(), os.getegid()
    apart = _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWIPC
    if libc.unshare(apart) == 0:
        return [_OFFLINE, _APART]
    if libc.unshare(_CLONE_NEWUSER | apart) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        return [_OFFLINE, _APART]
    return [_OFFLINE] if _leave_network()["network"] == "none" else []


def _continue_as_child(cpu_s: int) -> None:
    """The caller goes on in a new process; the old one only waits, and ends as that one does.

    The first process of a namespace is deaf to SIGXCPU (pid_namespaces(7)): SIGKILL ends it a second later, which is told
    as what it was.
    """
    pid = os.fork()
    if pid == 0:
        return
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and used.ru_utime + used.ru_stime >= cpu_s:
        code = -signal.SIGXCPU
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    os._exit(code)


def _mount_read_only(home: Path) -> bool:
    """Whether from now on every file but those in `home` is read-only for this process, beside a `/proc` of its own.

    The mounts are those of its own namespace, which nobody outside sees.
    """
    libc = _libc()
    if libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return False  # what is mounted now would be mounted outside too
    place = str(home).encode()
    if libc.mount(place, place, None, _MS_BIND, None) != 0:
        return False
    # Without it, the processes outside stay visible there, and their variables to the same user.
    libc.mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None)
    locked = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    opened = (ctypes.c_uint64 * 4)(0, _MOUNT_ATTR_RDONLY, 0, 0)
    size = ctypes.sizeof(locked)
    is_locked = libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(locked), size) == 0
    return bool(is_locked and libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, place, 0, ctypes.byref(opened), size) == 0)


def _drop_capabilities() -> bool:
    """Whether this process has no power left but that over what its user owns; `NO_NEW_PRIVS` keeps it so."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(_libc().syscall(_CAPSET, ctypes.byref(header), ctypes.byref(nothing)) == 0)


def _become_nobody(home: Path, readable: tuple[Path, ...]) -> bool:
    """Whether this process is another user from now on: root can, if what it needs to read is readable by all."""
    if os.geteuid() != 0 or not _is_root_outside():
        return False
    libraries = [Path(part) for part in sys.path if part and Path(part).exists()]
    if not all(_is_readable_by_all(path) for path in (*readable, *libraries, Path(sys.executable).resolve(), home)):
        return False
    os.chown(home, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return True


def _is_root_outside() -> bool:
    """Whether user 0 is that of the machine: in a user namespace of our own there is no other user to become."""
    return Path("/proc/self/uid_map").read_text().split()[-1] != "1"


def _is_readable_by_all(path: Path) -> bool:
    read = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & read == read and all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
