"""What the target remembers: records and routes survive their files, damage is named, and what is gone is forgotten."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.model.live import RouteState
from mlrelease.targets.local.files import Layout, read_json, remove
from mlrelease.targets.local.state import (
    KEPT_LOGS,
    Record,
    Routed,
    Table,
    config_files,
    forget,
    old_logs,
    read_records,
    read_tables,
    write_record,
    write_tables,
)

RECORD = Record("risk-abc-1", "risk", "abc", "/s/1", "/c/1", "hash", 3, 1.0, 2.5, served=True, pid=7, process_started=9.25)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
TEXT = st.text(max_size=12)
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    layout.make()
    return layout


# ---- folders and files


def test_every_part_of_the_folder_has_its_place():
    """Where people look for it after a year, and where the docs say it is."""
    layout = Layout(Path("/state"))
    assert {name: str(getattr(layout, name)) for name in (
        "instances", "configs", "xds", "staging", "generations", "logs", "sockets", "routes", "supervisor", "proxy",
    )} == {
        "instances": "/state/instances", "configs": "/state/configs", "xds": "/state/xds", "staging": "/state/tmp",
        "generations": "/state/supervisor", "logs": "/state/logs", "sockets": "/state/s", "routes": "/state/routes.json",
        "supervisor": "/state/supervisor.json", "proxy": "/state/proxy.json",
    }  # fmt: skip
    assert layout.socket("a1") == "/state/s/a1"


def test_the_folders_are_made_once_and_closed_to_others(tmp_path):
    """Also one that was open to everybody; what lies in them stays."""
    root = tmp_path / "deep" / "state"
    root.mkdir(parents=True)
    root.chmod(0o755)
    layout = Layout(root)
    layout.make()
    (layout.logs / "x.log").write_text("kept")
    layout.make()
    assert (layout.logs / "x.log").read_text() == "kept"
    assert {stat.S_IMODE(p.stat().st_mode) for p in (root, *root.iterdir())} == {0o700}


@pytest.mark.parametrize("spoil", ["a file in its place", "gone"])
def test_a_staging_folder_that_cannot_be_used_is_an_error_with_its_reason(layout, spoil):
    """The first reason is told, also where the clean-up fails for the same one; the old content stays."""
    layout.write(layout.routes, b"old")
    layout.staging.rmdir()
    if spoil != "gone":
        layout.staging.write_text("")
    with pytest.raises(Error) as caught:
        layout.write(layout.routes, b"new")
    reason = "No such file or directory" if spoil == "gone" else "Not a directory"
    told = (caught.value.message, caught.value.hint, caught.value.where)
    assert told == (
        f"routes.json cannot be written: {reason}", "free some space, or give this user the folder", str(layout.root),
    )  # fmt: skip
    assert layout.routes.read_bytes() == b"old"


def test_json_files_are_written_for_people(layout):
    """Sorted keys, one to a line, and a line break at the end: a diff of two states can be read."""
    layout.write_json(layout.routes, {"b": [1], "a": "ä"})
    assert layout.routes.read_text() == '{\n  "a": "\\u00e4",\n  "b": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 200_000, b"1" * 5000], ids=["empty", "half", "no text", "nested", "huge"]
)
def test_a_file_that_is_no_json_is_damaged(layout, data):
    """Named, with the way out."""
    layout.routes.write_bytes(data)
    with pytest.raises(Error, match=r"^routes\.json is damaged$") as caught:
        read_json(layout.routes)
    assert (caught.value.hint, caught.value.where) == (
        "move it away; the next deploy writes what runs again", str(layout.routes),
    )  # fmt: skip


def test_a_file_that_cannot_be_read_is_not_taken_for_missing(layout):
    """Missing would mean that nothing runs."""
    layout.routes.mkdir()
    with pytest.raises(Error, match=r"^routes\.json cannot be read: Is a directory$") as caught:
        read_json(layout.routes)
    assert caught.value.where == str(layout.routes)


def test_removing_is_done_for_all_or_said(layout):
    """What is gone is fine; what stays is named."""
    for name in ("a", "b"):
        (layout.root / name).write_text("")
    remove(layout.root / "a", str(layout.root / "none"), layout.root / "b")
    assert not (layout.root / "a").exists()
    assert not (layout.root / "b").exists()
    with pytest.raises(Error, match=r"^a file cannot be removed: Is a directory$") as caught:
        remove(layout.logs)
    assert caught.value.where == str(layout.logs)


# ---- records


records = st.builds(
    Record,
    id=NAMES, service=NAMES, bundle=NAMES, socket=TEXT, config=TEXT, launch=TEXT, generation=st.integers(0, 10**9),
    created_at=st.floats(0, 1e12), until=st.floats(0, 1e12), served=st.booleans(), pid=st.integers(0, 1 << 22),
    process_started=st.floats(0, 1e12),
)  # fmt: skip


@quick
@given(st.lists(records, max_size=4, unique_by=lambda r: r.id))
def test_records_come_back_as_they_were_written(layout, written):
    """Whatever is in them, by id; writing one again replaces it."""
    for path in layout.instances.iterdir():
        path.unlink()
    for record in written:
        write_record(layout, replace(record, served=not record.served))
        write_record(layout, record)
    assert read_records(layout) == {record.id: record for record in written}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 5), ("id", "risk-abc-2"), ("service", None), ("bundle", ["abc"]), ("socket", 1), ("generation", "3"),
        ("generation", 3.5), ("created_at", "yesterday"), ("until", None), ("served", "yes"), ("pid", "7"),
        ("process_started", {}),
    ],
)  # fmt: skip
def test_a_record_with_a_value_of_another_kind_is_damaged(layout, key, value):
    """Also one that is another's: nothing is planned from it."""
    path = layout.instances / f"{RECORD.id}.json"
    path.write_text(json.dumps(asdict(RECORD) | {key: value}))
    with pytest.raises(Error) as caught:
        read_records(layout)
    assert (caught.value.message, caught.value.hint, caught.value.where) == (
        "the record of an instance is damaged", "move it away and deploy again", str(path),
    )  # fmt: skip


def test_a_record_of_an_earlier_version_is_read(layout):
    """What came later has a value that changes nothing; whole numbers are moments too."""
    data = {k: v for k, v in asdict(RECORD).items() if k not in ("until", "served", "pid", "process_started")}
    (layout.instances / f"{RECORD.id}.json").write_text(json.dumps(data | {"created_at": 1}))
    assert read_records(layout) == {RECORD.id: replace(RECORD, until=0.0, served=False, pid=0, process_started=0.0)}


def test_only_records_are_read(layout):
    """Neither what is being written nor an editor's copy."""
    write_record(layout, RECORD)
    (layout.instances / "risk-abc-1.json~").write_text("{")
    (layout.instances / "risk-abc-1.json.swp").write_text("{")
    assert list(read_records(layout)) == [RECORD.id]


def test_an_instance_is_forgotten_with_all_its_files_and_its_record_last(layout):
    """A pass that is killed between finds the record and goes on; a second time is fine."""
    config, run_file = config_files(layout, RECORD.id)
    socket = layout.root / "socket"
    assert (config, run_file) == (layout.configs / "risk-abc-1.json", layout.configs / "risk-abc-1.run")
    for path in (config, run_file):
        path.write_text("secret")
    write_record(layout, RECORD)
    (layout.logs / f"{RECORD.id}.log").write_text("")
    socket.mkdir()
    with pytest.raises(Error, match="cannot be removed"):
        forget(layout, RECORD.id, str(socket))
    assert [p.exists() for p in (config, run_file)] == [False, False]
    assert list(read_records(layout)) == [RECORD.id]
    socket.rmdir()
    socket.write_text("")
    forget(layout, RECORD.id, str(socket))
    assert (read_records(layout), socket.exists()) == ({}, False)
    forget(layout, RECORD.id, "")
    assert (layout.logs / f"{RECORD.id}.log").exists()


# ---- routes


@st.composite
def tables(draw):
    services = {}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        bundles = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
        weights = {b: draw(st.integers(0, 100)) for b in bundles}
        members = {b: draw(st.dictionaries(NAMES, TEXT, max_size=2)) for b in bundles}
        services[name] = Routed(weights, members, f"/{name}/", draw(TEXT), draw(st.floats(0.001, 1e6)))
    return Table(services, draw(st.dictionaries(st.sampled_from(["lds", "cds", "rds"]), TEXT)))


@quick
@given(st.lists(tables(), min_size=1, max_size=2))
def test_routing_tables_come_back_as_they_were_written(layout, written):
    """The newest first, and as many as there were."""
    write_tables(layout, *written)
    assert read_tables(layout) == tuple(written)


def test_an_observation_shows_the_route_without_its_sockets():
    """Weights, prefix, revision and time; a copy, so that nobody changes the table through it."""
    routed = Routed({"a": 100}, {"a": {"i": "/s"}}, "/risk/", "rev", 60.0)
    assert routed.state == RouteState({"a": 100}, "/risk/", "rev", 60.0)
    assert routed.state.weights is not routed.weights


def _changed(**values):
    item = {"weights": {"a": 1}, "instances": {"a": {"i": "/s"}}, "prefix": "/r/", "revision": "r", "timeout_s": 1.0}
    return {"schema": 1, "tables": [{"services": {"risk": item | values}, "hashes": {}}]}


@pytest.mark.parametrize(
    "data",
    [
        _changed(weights={"a": "many"}), _changed(weights={"a": None}), _changed(weights={"a": 1e400}), _changed(weights=[]),
        _changed(instances={"a": 5}), _changed(instances=None), _changed(timeout_s="soon"), _changed(timeout_s=None),
        {"tables": [{"services": {}, "hashes": 1}]}, {"tables": ["x"]}, [], "x",
    ],
)  # fmt: skip
def test_a_routing_table_with_a_value_of_another_kind_is_damaged(layout, data):
    """An error that names the file, and no other exception."""
    layout.routes.write_text(json.dumps(data))
    with pytest.raises(Error) as caught:
        read_tables(layout)
    assert (caught.value.message, caught.value.hint, caught.value.where) == (
        "routes.json is damaged", "move it away and deploy again", str(layout.routes),
    )  # fmt: skip


# ---- logs of what is gone


def test_the_newest_logs_of_the_gone_are_kept_whole(layout):
    """Counted by instance, not by file; those of living instances, proxy and supervisor are none of them."""
    for n in range(KEPT_LOGS + 2):
        for part, ending in enumerate((".log", ".log.1", ".log.2")):
            path = layout.logs / f"gone-1-{n:02}{ending}"
            path.write_text("")
            os.utime(path, (n + 1, n + 1 - part / 10))
    for name in ("supervisord.log", "access.log", "envoy.ab12.log", "risk-abc-1.log"):
        (layout.logs / name).write_text("")
        os.utime(layout.logs / name, (0, 0))
    old = old_logs(layout, {RECORD.id: RECORD})
    assert sorted(p.name for p in old) == [f"gone-1-{n:02}.log{e}" for n in range(2) for e in ("", ".1", ".2")]


def test_a_log_that_another_pass_removes_meanwhile_is_no_fault(layout):
    """Its name was listed and it is not there any more: here a link to nothing."""
    (layout.logs / "gone-1-1.log").symlink_to(layout.logs / "nothing")
    assert old_logs(layout, {}) == []
