"""The spool on the disk: whole files in order, what is no event, what a kill leaves, and what a disk refuses."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.ledger import spool as spools
from mlrelease.ledger.chain import stored
from mlrelease.ledger.filelock import Busy
from mlrelease.ledger.spool import Spool
from mlrelease.model.event_json import event_to_json
from structlog.testing import capture_logs
from support.repositories import NOW, held


@pytest.fixture
def spool(tmp_path):
    """A spool whose folder does not exist yet."""
    return Spool(tmp_path / "state" / "spool")


@pytest.fixture
def folder(tmp_path):
    """Where it lies."""
    return tmp_path / "state" / "spool"


def put(spool, *numbers, now=NOW, blobs=None):
    spool.add([event_to_json(held(number)) for number in numbers], blobs or {}, now)


def ids(spool):
    return [one.event.id for one in spool.events()]


def test_a_spool_that_nobody_wrote_to_is_empty(spool, folder):
    """To look makes no folder."""
    assert (spool.events(), spool.blobs()) == ([], {})
    assert not folder.exists()


def test_what_is_added_comes_back_as_it_was(spool, folder):
    """The event, its JSON and its file, which only its owner may read."""
    put(spool, 1)
    (one,) = spool.events()
    assert (one.event, one.content) == (held(1), event_to_json(held(1)))
    assert one.path.read_bytes() == stored(event_to_json(held(1)))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == [one.path], "nothing temporary stays"


@settings(max_examples=25, deadline=None)
@given(moments=st.lists(st.sampled_from([0.0, -5.0, 1.0, NOW, NOW + 1, NOW * 2]), min_size=1, max_size=8))
def test_order_is_the_order_of_writing_whatever_the_clock_does(tmp_path_factory, moments):
    """Back to 1970, standing still, far ahead: the event written last is read last."""
    spool = Spool(tmp_path_factory.mktemp("s"))
    for number, moment in enumerate(moments):
        put(spool, number, f"{number}b", now=moment)
    assert ids(spool) == [f"E{number}{letter}" for number in range(len(moments)) for letter in ("", "b")]


def test_order_goes_on_behind_what_another_process_wrote(spool, folder):
    """Its file name is of a clock that ran ahead."""
    put(spool, 1, now=NOW + 1e6)
    put(Spool(folder), 2)
    assert ids(spool) == ["E1", "E2"]


def test_only_what_was_flushed_goes(spool):
    """What came between the look and the removal stays."""
    put(spool, 1, blobs={"golden/a.json": b"{}"})
    seen = spool.events()
    put(spool, 2, blobs={"golden/b.json": b"{}"})
    spool.remove(seen, ["golden/a.json"])
    assert ids(spool) == ["E2"]
    assert spool.blobs() == {"golden/b.json": b"{}"}
    spool.remove(seen, ["golden/a.json"])
    assert ids(spool) == ["E2"], "twice is once"


def test_the_first_blob_of_a_name_stays(spool):
    """Golden predictions are written once."""
    put(spool, blobs={"golden/a.json": b"1", "manifests/a.json": b"2"})
    put(spool, blobs={"golden/a.json": b"3"})
    assert spool.blobs() == {"golden/a.json": b"1", "manifests/a.json": b"2"}


EVENT = event_to_json(held(1))
NO_EVENTS = {
    "torn": b'{"kind": "held", "id',
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "no kind": json.dumps({k: v for k, v in EVENT.items() if k != "kind"}).encode(),
    "no reason": json.dumps({k: v for k, v in EVENT.items() if k != "reason"}).encode(),
    "a moment without a zone": json.dumps(EVENT | {"at": "2026-01-01T00:00:00"}).encode(),
    "a moment that is a number": json.dumps(EVENT | {"at": 7}).encode(),
}


@pytest.mark.parametrize("content", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_is_put_aside_and_stops_nothing(spool, folder, content):
    """Its bytes are kept for a person, its name is said, and it is not looked at again."""
    put(spool, 1)
    damaged = folder / "01J00000000000000000000000.json"
    damaged.write_bytes(content)
    with capture_logs() as said:
        assert ids(spool) == ["E1"]
        assert ids(spool) == ["E1"]
    assert damaged.with_suffix(".damaged").read_bytes() == content
    (line,) = said
    assert (line["event"], line["log_level"]) == ("a spooled event is damaged and was put aside", "error")
    assert line["file"] == str(damaged.with_suffix(".damaged"))


def test_an_event_of_a_newer_version_waits_like_any_other(spool):
    """A downgrade loses nothing: its JSON is brought over as it is."""
    newer = EVENT | {"kind": "teleported", "where": {"x": 1}}
    spool.add([newer], {}, NOW)
    (one,) = spool.events()
    assert (one.event.kind, one.content) == ("teleported", newer)


def test_files_on_their_way_and_files_of_others_are_not_events(spool, folder):
    """What a kill left beside is not read, nor is the lock; it does not move the order either."""
    put(spool, 1)
    for name in (".01J00000000000000000000000.json.4242", "notes.txt", ".lock", "x.damaged"):
        (folder / name).write_text("{}")
    (folder / "blobs" / "golden").mkdir(parents=True)
    (folder / "blobs" / "golden" / ".a.json.4242").write_text("{")
    (folder / "blobs" / "loose.json").write_text("{}")
    assert ids(spool) == ["E1"]
    assert spool.blobs() == {}


def test_half_a_character_in_a_reason_is_kept(spool):
    """A server's JSON may hold one : the receipt that quotes it is written, and read back the same."""
    content = event_to_json(held(1)) | {"reason": "it said \ud800 and é"}
    spool.add([content], {}, NOW)
    assert spool.events()[0].content == content


@pytest.mark.parametrize(
    ("where", "act"),
    [
        ("", lambda spool: spool.events()),
        ("blobs", lambda spool: spool.blobs()),
    ],
    ids=["the spool itself", "its blobs"],
)
def test_a_file_where_a_folder_should_be_is_said_with_its_place(spool, folder, where, act):
    """Not a traceback: the path and the way out."""
    place = folder / where
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
    with pytest.raises(Error) as caught:
        act(spool)
    assert caught.value.message == f"cannot use {place}: Not a directory"
    assert caught.value.hint == "see to the disk and to who owns that folder"


@pytest.mark.parametrize("what", ["the folder of the spool", "the folder of the blobs"])
def test_an_event_that_cannot_be_kept_is_an_error_with_the_place(spool, folder, what):
    """It is never dropped silently, and no temporary file is left where none could be made."""
    place = folder if what == "the folder of the spool" else folder / "blobs" / "golden"
    place.parent.mkdir(parents=True)
    place.write_text("")
    with pytest.raises(Error) as caught:
        spool.add([], {"golden/a.json": b"{}"}, NOW)
    assert caught.value.message.startswith(f"an event could not be kept at {folder / 'blobs' / 'golden'}: ")
    assert caught.value.hint == "free some space there"
    assert place.read_text() == ""


def test_a_disk_that_fills_up_midway_leaves_the_whole_ones_and_no_half(spool, folder, monkeypatch):
    """The first event is on the disk, the second is said to be lost by the error, and nothing torn stays."""
    synced = []

    def full(fd):
        synced.append(fd)
        if len(synced) == 3:  # the first event's bytes and its folder, then the second event's bytes
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spools.os, "fsync", full)
    with pytest.raises(Error, match="No space left on device"):
        put(spool, 1, 2)
    monkeypatch.undo()
    assert ids(spool) == ["E1"]
    assert len(list(folder.iterdir())) == 1


def test_an_event_that_cannot_be_read_now_is_an_error_and_stays(spool, folder):
    """A right that is missing says nothing of the event: it is not put aside."""
    (folder / "01J00000000000000000000000.json").mkdir(parents=True)
    with pytest.raises(Error, match="cannot use"):
        spool.events()
    assert (folder / "01J00000000000000000000000.json").is_dir()


def test_what_cannot_be_taken_away_is_said(spool, folder):
    """It would come again with the next flush: ids tell, but somebody should see to it."""
    blocked = folder / "blobs" / "golden" / "a.json"
    blocked.mkdir(parents=True)
    with pytest.raises(Error, match=f"cannot use {blocked}"):
        spool.remove([], ["golden/a.json"])


def test_one_claim_at_a_time(spool, folder, monkeypatch):
    """The second one is told who is at it."""
    monkeypatch.setattr(spools, "DEADLINES_S", {"ledger.spool": 0.0})
    with spool.lock(), pytest.raises(Busy) as caught, Spool(folder).lock():
        pass
    assert f"(pid {os.getpid()}) has held {folder / '.lock'} for more than 0 s" in caught.value.message
    with Spool(folder).lock():
        pass
