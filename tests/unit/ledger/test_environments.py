"""Which environments the ledger knows, whatever the files say."""

from __future__ import annotations

import shutil

from support.repositories import bare_with_clones, held, ledger, repository


def test_an_empty_ledger_knows_none(tmp_path):
    """Nor does one without a branch fail."""
    assert ledger(repository(tmp_path / "r"), remote=None).environments() == ()


def test_each_environment_with_events_is_named_once(tmp_path):
    """Stored blobs are no environment."""
    here = ledger(repository(tmp_path / "r"), remote=None)
    here.append([held(1, "staging"), held(2, "production"), held(3, "staging")])
    here.put_golden("sha256:" + "a" * 64, {"predictions": [1]})
    here.put_manifest("sha256:" + "a" * 64, {"files": []})
    assert here.environments() == ("production", "staging")


def test_another_clone_s_events_are_fetched(tmp_path):
    """Without a fetch it is the last known ledger that counts."""
    _, one, two = bare_with_clones(tmp_path, "one", "two")
    ledger(one).append([held(1, "staging")])
    assert ledger(two).environments(fetch=False) == ()
    assert ledger(two).environments() == ("staging",)


def test_what_waits_in_the_spool_counts(tmp_path):
    """An event that the remote has not seen yet is an event."""
    bare, one = bare_with_clones(tmp_path, "one")
    ledger(one).append([held(1, "staging")])
    shutil.move(bare, tmp_path / "away")
    ledger(one).append([held(2, "production")])
    assert ledger(one).environments() == ("production", "staging")
