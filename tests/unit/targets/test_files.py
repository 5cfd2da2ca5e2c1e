"""Files of a state folder: whole or not at all, with errors that say what to do; and where the folder is."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local.files import LONGEST_SOCKET_PATH, Layout, read_json
from mlrelease.targets.local.state import Record, default_state_dir, prune_logs, read_records, read_tables, write_record


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    layout.make()
    return layout


def test_a_written_file_is_private_and_leaves_nothing_beside_it(layout):
    """Mode 0600, the content whole, and no temporary file."""
    layout.write(layout.routes, b"one")
    layout.write(layout.routes, b"two")
    assert layout.routes.read_bytes() == b"two"
    assert stat.S_IMODE(layout.routes.stat().st_mode) == 0o600
    assert list(layout.staging.iterdir()) == []


def test_a_full_disk_leaves_the_old_content_and_is_said(layout, monkeypatch):
    """The error names file and reason; the file is as it was; no temporary file is left."""
    layout.write(layout.routes, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Error, match=r"routes\.json cannot be written: No space left on device") as caught:
        layout.write(layout.routes, b"new")
    assert "space" in caught.value.hint
    assert layout.routes.read_bytes() == b"old"
    assert list(layout.staging.iterdir()) == []


def test_a_state_folder_that_is_a_file_is_said(tmp_path):
    """The error names the folder and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match="state folder cannot be made") as caught:
        Layout(tmp_path / "file" / "state").make()
    assert "target.state_dir" in caught.value.hint


def test_the_longest_state_folder_fits_supervisors_temporary_socket():
    """One byte more is refused before a folder is made."""
    longest = LONGEST_SOCKET_PATH - len("/s/v123456.4194304")
    base = "/nonexistent-" + "x" * longest
    with pytest.raises(Error, match="1 bytes too long"):
        Layout(Path(base[: longest + 1])).make()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ('{"id": "x"}', "damaged"), ("[]", "damaged")],
    ids=["not JSON", "keys missing", "no object"],
)
def test_a_damaged_record_is_named(layout, text, message):
    """The error names the file, so that a person can move it away."""
    path = layout.instances / "x.json"
    path.write_text(text)
    with pytest.raises(Error, match=message) as caught:
        read_records(layout)
    assert caught.value.where == str(path)


def test_a_record_of_a_later_version_is_read(layout):
    """Keys that are not known are left alone."""
    record = Record("a-b-c", "a", "b", "/s", "/c", "l", 1, 2.0)
    write_record(layout, record)
    path = layout.instances / "a-b-c.json"
    path.write_text(path.read_text().replace("{", '{"later": 1,', 1))
    assert read_records(layout) == {"a-b-c": record}


@pytest.mark.parametrize("text", ["{}", '{"tables": [{}]}', '{"tables": 1}'])
def test_a_damaged_routing_table_is_named(layout, text):
    """Nothing is guessed from half a table."""
    layout.routes.write_text(text)
    with pytest.raises(Error, match=r"routes\.json is damaged"):
        read_tables(layout)


def test_what_is_not_there_is_none(layout):
    """A missing file is no error."""
    assert read_json(layout.routes) is None
    assert read_tables(layout) == ()


def test_old_logs_go_and_those_of_living_instances_stay(layout):
    """The newest logs of instances that are gone are kept, with their rotated parts."""
    for n in range(25):
        for ending in (".log", ".log.1"):
            path = layout.logs / f"gone-1-{n:02}{ending}"
            path.write_text("")
            os.utime(path, (n, n))
    (layout.logs / "here-1-1.log").write_text("")
    os.utime(layout.logs / "here-1-1.log", (0, 0))
    (layout.logs / "access.log").write_text("")
    prune_logs(layout, {"here-1-1": Record("here-1-1", "a", "b", "", "", "", 1, 0.0)})
    left = sorted(p.name for p in layout.logs.iterdir())
    assert left == sorted(["access.log", "here-1-1.log", *(f"gone-1-{n:02}.log{e}" for n in range(5, 25) for e in ("", ".1"))])


@pytest.mark.parametrize(
    ("euid", "variables", "expected"),
    [
        (0, {"INVOCATION_ID": "x"}, "/var/lib/mlrelease/repo/production"),
        (0, {}, "/home/someone/.local/state/mlrelease/repo/production"),
        (1000, {"INVOCATION_ID": "x"}, "/home/someone/.local/state/mlrelease/repo/production"),
        (1000, {"XDG_STATE_HOME": "/data"}, "/data/mlrelease/repo/production"),
        (1000, {"XDG_STATE_HOME": "data"}, "/home/someone/.local/state/mlrelease/repo/production"),
    ],
    ids=["system service", "root by hand", "user service", "XDG", "relative XDG is ignored"],
)
def test_the_default_state_folder(monkeypatch, euid, variables, expected):
    """A system service keeps its state under /var/lib, a person in the state folder of the account."""
    for name in ("INVOCATION_ID", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    assert default_state_dir("production", "repo") == Path(expected)
