"""The ledger on real git: with and without a remote, alone and in company, alive and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.forge.command import PushRefusedError
from mlrelease.ledger.ledger import LedgerMoved
from support import ledger_worker
from support.repositories import NOW, bare_with_clones, git, held, ledger, repository, started

REF = "refs/heads/mlrelease/ledger"


def ids(view):
    return [event.id for event in view.events]


def worker(*arguments):
    return subprocess.Popen([sys.executable, ledger_worker.__file__, *map(str, arguments)], stderr=subprocess.PIPE)


def finished(process):
    _, err = process.communicate(timeout=120)
    return process.returncode, err.decode()


@pytest.fixture
def clones(tmp_path):
    """A bare remote and two clones."""
    return bare_with_clones(tmp_path, "one", "two")


@pytest.fixture(params=["with a remote", "without a remote"])
def place(request, tmp_path):
    """A clone with its remote, or a repository without one: (path, remote name)."""
    if request.param == "with a remote":
        return bare_with_clones(tmp_path, "one")[1], "origin"
    return repository(tmp_path / "one"), None


def test_empty(place):
    """Before the first event there is a view of nothing."""
    path, remote = place
    view = ledger(path, remote=remote).read("staging")
    assert (view.events, view.height, view.online, view.spooled, view.broken) == ((), 0, True, 0, "")


def test_what_is_appended_is_read_in_order(place):
    """Events of two environments come back each in its own order, also to a fresh reader."""
    path, remote = place
    it = ledger(path, remote=remote)
    assert it.append([held(1), held(2, "production"), held(3)]).height == 2
    assert it.append([held(4)]).height == 3
    for reader in (it, ledger(path, remote=remote)):
        view = reader.read("staging")
        assert view.events == (held(1), held(3), held(4))
        assert (view.height, view.broken) == (3, "")
        assert ids(reader.read("production")) == ["E2"]
        assert reader.verify("staging") == ()


def test_the_checkout_is_never_touched(place):
    """No file appears, no branch moves but the ledger's, no identity of the user is used."""
    path, remote = place
    before = (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD"))
    it = ledger(path, remote=remote)
    it.append([held(1)])
    it.read("staging")
    assert (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD")) == before
    heads = git(path, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
    assert heads == (["refs/heads/main"] if remote else ["refs/heads/main", REF])
    tip = git(path, "rev-parse", "refs/mlrelease/remote/ledger" if remote else REF)
    assert git(path, "show", "-s", "--format=%an <%ae> %cn %ct %s", tip) == (
        f"mlrelease <mlrelease@localhost> mlrelease {int(NOW)} staging: held"
    )


def test_no_identity_is_needed(place, monkeypatch, tmp_path):
    """A host without user.name appends all the same."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path, remote = place
    it = ledger(path, remote=remote)
    it.append([held(1)])
    assert it.read("staging").height == 1


def test_a_clock_that_goes_back_keeps_the_order(place):
    """The file of a later event sorts behind, whatever the clock says."""
    path, remote = place
    for number, now in enumerate((NOW, NOW - 3600, NOW + 5, 0)):
        ledger(path, remote=remote, now=now).append([held(number)])
    assert ids(ledger(path, remote=remote).read("staging")) == ["E0", "E1", "E2", "E3"]
    assert ledger(path, remote=remote).verify("staging") == ()


def test_a_claim_at_another_height_is_refused(place):
    """`expect_height` holds at the moment of the swap, and only for its own environment."""
    path, remote = place
    it = ledger(path, remote=remote)
    it.append([held(1, "production")])
    assert it.append([started(1)], expect_height=0).height == 1
    with pytest.raises(LedgerMoved) as caught:
        it.append([started(2)], expect_height=0)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert it.read("staging").height == 1


def test_a_claim_of_another_clone_in_between_is_seen(clones):
    """The height that was read here no longer holds once another clone has appended."""
    _, one, two = clones
    it = ledger(one)
    height = it.read("staging").height
    ledger(two).append([started("two")], expect_height=0)
    with pytest.raises(LedgerMoved):
        it.append([started("one")], expect_height=height)


def test_of_many_claims_at_once_one_wins(clones):
    """Threads of two clones claim the same height, on a ledger that does not exist yet: one holds it."""
    _, one, two = clones
    results = []

    def claim(path, number):
        try:
            results.append(ledger(path).append([started(number)], expect_height=0).height)
        except LedgerMoved:
            results.append("moved")

    threads = [threading.Thread(target=claim, args=(path, f"{path.name}{n}")) for n in range(3) for path in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, results)) == ["1", *["moved"] * 5]
    assert ledger(one).read("staging").height == 1


def test_two_clones_append_at_once(clones):
    """Two processes with 25 events each, from an empty ledger on: none lost, none twice, the chain holds."""
    _, one, two = clones
    processes = [worker("many", one, "a", 25), worker("many", two, "b", 25)]
    assert [finished(process)[0] for process in processes] == [0, 0]
    it = ledger(one)
    found = ids(it.read("staging"))
    assert [i for i in found if i.startswith("Ea")] == [f"Ea{n}" for n in range(25)]
    assert [i for i in found if i.startswith("Eb")] == [f"Eb{n}" for n in range(25)]
    assert it.verify("staging") == ()


def test_two_processes_in_one_repository_without_a_remote(tmp_path):
    """The swap of the local ref lets nothing get lost either."""
    path = repository(tmp_path / "one")
    its = [ledger(path, remote=None) for _ in range(2)]
    threads = [threading.Thread(target=lambda k=k: [its[k].append([held(f"{k}-{n}")]) for n in range(10)]) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    it = ledger(path, remote=None)
    assert len(set(ids(it.read("staging")))) == 20
    assert it.verify("staging") == ()


def test_the_spool_keeps_events_while_the_remote_is_away(clones, tmp_path):
    """Away: events wait here, in view and in the height. Back: they go before the next one, in order, once."""
    bare, one, two = clones
    it = ledger(one)
    it.append([held(1)])
    bare.rename(tmp_path / "away.git")
    assert it.append([held(2), held(3)]).spooled == 2
    assert it.append([held(4, "production")]).spooled == 3
    assert it.append([started(5)], expect_height=3).height == 4
    with pytest.raises(LedgerMoved):
        it.append([started(6)], expect_height=3)
    view = ledger(one).read("staging")
    assert ids(view) == ["E1", "E2", "E3", "S5"]
    assert (view.height, view.online, view.spooled, view.broken) == (4, False, 3, "")
    assert it.flush().spooled == 4
    (tmp_path / "away.git").rename(bare)
    ledger(two).append([held("other")])
    appended = it.append([held(7)])
    assert (appended.height, appended.spooled) == (6, 0)
    view = ledger(two).read("staging")
    assert ids(view) == ["E1", "Eother", "E2", "E3", "S5", "E7"]
    assert (view.online, view.spooled, view.broken) == (True, 0, "")
    assert ids(it.read("production")) == ["E4"]
    assert list(Path(f"{one}-spool").glob("*.json")) == []


def test_flush_alone_empties_the_spool(clones, tmp_path):
    """`flush` brings everything over; a second one makes no commit."""
    bare, one, _ = clones
    it = ledger(one)
    bare.rename(tmp_path / "away.git")
    it.append([held(1)])
    it.put_golden("sha256:ab", {"rows": [1]})
    (tmp_path / "away.git").rename(bare)
    assert it.flush().spooled == 0
    tip = git(bare, "rev-parse", REF)
    assert it.flush().spooled == 0
    assert git(bare, "rev-parse", REF) == tip
    assert "E1" in ids(it.read("staging"))
    assert it.golden("sha256:ab") == {"rows": [1]}


def test_a_spooled_event_that_arrived_after_all_is_not_repeated(clones):
    """A push that was taken but not answered leaves its event in the spool: ids tell."""
    _, one, _ = clones
    it = ledger(one)
    it.append([held(1)])
    it._spool.add([{**json.loads(git(one, "show", f"{_first(one)}"))}], {}, NOW)
    assert ids(it.read("staging")) == ["E1"]
    assert it.read("staging").height == 1
    it.append([held(2)])
    assert ids(it.read("staging")) == ["E1", "E2"]
    assert list(Path(f"{one}-spool").glob("*.json")) == []


def _first(path, environment="staging"):
    tip = git(path, "rev-parse", "refs/mlrelease/remote/ledger")
    return f"{tip}:{git(path, 'ls-tree', '-r', '--name-only', tip, f'{environment}/events').splitlines()[0]}"


def test_a_damaged_spool_file_stops_nothing(clones, capsys):
    """It is put aside and said; the rest goes on."""
    _, one, _ = clones
    spool = Path(f"{one}-spool")
    spool.mkdir()
    (spool / "01J00000000000000000000000.json").write_text("{")
    it = ledger(one)
    it.append([held(1)])
    assert ids(it.read("staging")) == ["E1"]
    assert [p.name for p in spool.glob("*.damaged")] == ["01J00000000000000000000000.damaged"]


def test_a_remote_that_refuses(clones):
    """What happened is spooled and seen; a claim is an error, since nobody else could see it."""
    bare, one, _ = clones
    hook = bare / "hooks/update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    it = ledger(one)
    assert it.append([held(1)]).spooled == 1
    with pytest.raises(PushRefusedError, match="hook declined"):
        it.append([started(2)], expect_height=1)
    with pytest.raises(PushRefusedError):
        it.flush()
    assert ids(it.read("staging")) == ["E1"]
    hook.unlink()
    it.flush()
    assert it.read("staging").spooled == 0


def test_shallow_and_narrow_clones(clones, tmp_path):
    """A clone of depth one that tracks one branch reads and appends like any other."""
    bare, one, _ = clones
    ledger(one).append([held(1)])
    git(tmp_path, "clone", "-q", "--depth=1", "--single-branch", f"file://{bare}", "narrow")
    it = ledger(tmp_path / "narrow")
    assert ids(it.read("staging")) == ["E1"]
    it.append([held(2)])
    assert ids(ledger(one).read("staging")) == ["E1", "E2"]
    assert git(tmp_path / "narrow", "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin/mlrelease") == (
        "refs/heads/main"
    )


def test_not_fetching_reads_the_last_known_tip(clones):
    """`fetch=False` asks nobody."""
    _, one, two = clones
    it = ledger(one)
    it.append([held(1)])
    ledger(two).append([held(2)])
    assert ids(it.read("staging", fetch=False)) == ["E1"]
    assert ids(it.read("staging")) == ["E1", "E2"]


def test_a_remote_that_lost_its_newest_events_is_brought_forward(clones):
    """A remote restored from a backup, or without the branch, gets back what this clone knows."""
    bare, one, _ = clones
    it = ledger(one)
    it.append([held(1)])
    old = git(bare, "rev-parse", REF)
    it.append([held(2)])
    for command in (("update-ref", REF, old), ("update-ref", "-d", REF)):
        git(bare, *command)
        assert ids(it.read("staging")) == ["E1", "E2"]
        it.flush()
        assert git(bare, "rev-parse", REF) == git(one, "rev-parse", "refs/mlrelease/remote/ledger")


def _amended(bare, one, change):
    """Puts a commit on the remote's ledger, made in a checkout of it."""
    git(one, "fetch", "-q", "origin", REF)
    git(one, "worktree", "add", "-q", "--detach", str(bare.parent / "tampered"), "FETCH_HEAD")
    folder = bare.parent / "tampered"
    change(sorted((folder / "staging/events").iterdir()))
    git(folder, "add", "--all")
    return folder


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda files: files[1].write_text(files[1].read_text().replace("ann", "eve")), "changed"),
        (lambda files: files[1].unlink(), "removed"),
        (lambda files: files[-1].unlink(), "removed"),
    ],
    ids=["an event edited", "an event taken out", "the last event taken out"],
)
def test_tampering_on_top_is_found_and_named(clones, change, text):
    """Whoever edits the branch by a further commit is named by `verify`, with the file."""
    bare, one, two = clones
    it = ledger(one)
    it.append([held(n) for n in range(4)])
    assert it.verify("staging") == ()
    folder = _amended(bare, two, change)
    git(folder, "commit", "-q", "-m", "nothing to see")
    git(folder, "push", "-q", "origin", f"HEAD:{REF}")
    assert any(text in line and ".json" in line for line in it.verify("staging"))


def test_an_edited_event_shows_in_every_read(clones):
    """`broken` names the file behind the edited one; the events are still there to look at."""
    bare, one, two = clones
    it = ledger(one)
    it.append([held(n) for n in range(3)])
    folder = _amended(bare, two, lambda files: files[0].write_text(files[0].read_text().replace("ann", "eve")))
    git(folder, "commit", "-q", "-m", "x")
    git(folder, "push", "-q", "origin", f"HEAD:{REF}")
    view = ledger(two).read("staging")
    assert "does not follow" in view.broken
    assert view.height == 3


def test_a_rewritten_remote_is_refused(clones):
    """A forced push of another history is said by every read, and no claim is made on it; what happened is kept."""
    bare, one, two = clones
    it = ledger(one)
    it.append([held(n) for n in range(3)])
    folder = _amended(bare, two, lambda files: files[0].write_text(files[0].read_text().replace("ann", "eve")))
    git(folder, "commit", "-q", "--amend", "-m", "x")
    git(folder, "push", "-q", "--force", "origin", f"HEAD:{REF}")
    assert "was rewritten" in it.read("staging").broken
    assert any("was rewritten" in line for line in it.verify("staging"))
    assert ids(it.read("staging")) == ["E0", "E1", "E2"]
    with pytest.raises(Error, match="was rewritten"):
        it.append([started(1)], expect_height=3)
    assert it.append([held(9)]).spooled == 1


def test_golden_predictions_and_manifests_are_written_once(clones):
    """The first writer wins, equal or other content makes no commit, and another clone finds them."""
    bare, one, two = clones
    it = ledger(one)
    assert it.golden("sha256:ab") is None
    it.put_golden("sha256:ab", {"rows": [1.5]})
    it.put_manifest("sha256:ab", {"files": []})
    tip = git(bare, "rev-parse", REF)
    it.put_golden("sha256:ab", {"rows": [1.5]})
    ledger(two).put_golden("sha256:ab", {"rows": [2.5]})
    assert git(bare, "rev-parse", REF) == tip
    assert ledger(two).golden("sha256:ab") == {"rows": [1.5]}
    assert ledger(two).manifest("sha256:ab") == {"files": []}
    assert git(bare, "ls-tree", "-r", "--name-only", tip).splitlines() == ["golden/sha256-ab.json", "manifests/sha256-ab.json"]


def test_golden_predictions_wait_in_the_spool_too(clones, tmp_path):
    """With the remote away they are readable here at once, also when the same ones are put twice."""
    bare, one, _ = clones
    bare.rename(tmp_path / "away.git")
    it = ledger(one)
    it.put_golden("sha256:ab", {"rows": [1]})
    it.put_golden("sha256:ab", {"rows": [2]})
    assert ledger(one).golden("sha256:ab") == {"rows": [1]}


@pytest.mark.parametrize("name", ["../x", "", "a/b", "-x", ".git"])
def test_a_name_that_is_no_folder_is_refused(clones, name):
    """Nothing that came from a file becomes a path outside its place."""
    it = ledger(clones[1])
    for act in (
        lambda: it.read(name),
        lambda: it.append([held(1, name)]),
        lambda: it.put_golden(name, {}),
        lambda: it.beat(name, {}),
    ):
        with pytest.raises(Error, match="cannot be a name"):
            act()


def test_heartbeat(place):
    """The last one is what is read; it is no part of the history."""
    path, remote = place
    it = ledger(path, remote=remote)
    assert it.heartbeat("staging") is None
    it.beat("staging", {"at": 1})
    it.beat("staging", {"at": 2})
    assert ledger(path, remote=remote).heartbeat("staging") == {"at": 2}
    assert it.heartbeat("production") is None
    assert it.read("staging").height == 0


def test_heartbeat_without_the_remote_is_only_logged(clones, tmp_path):
    """The agent does not stop for it, and what is known here is still read."""
    bare, one, two = clones
    it = ledger(one)
    it.beat("staging", {"at": 1})
    assert ledger(two).heartbeat("staging") == {"at": 1}
    bare.rename(tmp_path / "away.git")
    it.beat("staging", {"at": 2})
    assert ledger(two).heartbeat("staging") == {"at": 1}
    assert it.heartbeat("staging") == {"at": 2}


def test_a_lock_file_of_a_killed_git_is_named(place):
    """An append names the file that is in the way and how to remove it, instead of trying for ever."""
    path, remote = place
    it = ledger(path, remote=remote)
    it.append([held(1)])
    where = Path(git(path, "remote", "get-url", "origin")) if remote else path / ".git"
    lock = where / f"{REF}.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    with pytest.raises(Error, match="a git that was killed") as caught:
        it.append([started(2)], expect_height=1)
    assert str(lock) in caught.value.hint
    lock.unlink()
    assert it.append([started(2)], expect_height=1).height == 2


def test_killed_at_any_git_command_of_an_append(clones):
    """SIGKILL before every single git command in turn: the spooled event and all others are there once, and work goes on."""
    _, one, two = clones
    spool = Path(f"{one}-spool")
    reader = ledger(two)
    for step in range(60):
        ledger(one)._spool.add([_json(held(f"s{step}"))], {}, NOW)
        code, err = finished(worker("die", one, spool, step, step))
        assert code in (0, -signal.SIGKILL), err
        it = ledger(one)
        it.flush()
        found = ids(reader.read("staging"))
        assert found.count(f"Es{step}") == 1
        assert len(set(found)) == len(found)
        assert list(spool.glob("*.json")) == []
        if code == 0:
            break
    assert code == 0
    assert f"E{step}" in found
    assert step > 8
    assert reader.verify("staging") == ()


@pytest.mark.parametrize("renames", range(4))
def test_killed_while_writing_to_the_spool(clones, tmp_path, renames):
    """What was written before the kill is whole and arrives once; what was not is simply not there."""
    bare, one, _ = clones
    bare.rename(tmp_path / "away.git")
    code, err = finished(worker("spool", one, f"{one}-spool", "x", renames))
    assert code == (-signal.SIGKILL if renames < 3 else 0), err
    (tmp_path / "away.git").rename(bare)
    it = ledger(one)
    it.flush()
    assert ids(it.read("staging")) == (["Ex"] if renames > 1 else [])
    assert ids(it.read("production")) == (["Exb"] if renames > 2 else [])
    assert (it.golden("x") is not None) == (renames > 0)


def _json(event):
    from mlrelease.model.event_json import event_to_json

    return event_to_json(event)


def test_a_full_disk_under_the_spool_is_an_error_with_the_place(clones, tmp_path):
    """When an event can be kept nowhere, that is said; it is never dropped silently."""
    bare, one, _ = clones
    bare.rename(tmp_path / "away.git")
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match=r"cannot use|could not be kept"):
        ledger(one, spool=tmp_path / "file").append([held(1)])


def test_many_goldens_come_in_one_commit_and_out_in_one_look(clones):
    """Those of a fleet are put together and found together, by digest; what nobody stored is not in the answer."""
    bare, one, two = clones
    it = ledger(one)
    it.append([held(1)])
    before = git(bare, "rev-list", "--count", REF)
    it.put_goldens((f"sha256:{n:02}", {"rows": [n]}) for n in range(30))
    assert int(git(bare, "rev-list", "--count", REF)) == int(before) + 1
    found = ledger(two).goldens([f"sha256:{n:02}" for n in range(29, 32)])
    assert found == {"sha256:29": {"rows": [29]}}
    assert ledger(two).goldens([]) == {}


def test_goldens_are_found_in_spool_and_ledger_at_once(clones, tmp_path):
    """With the remote away one answer holds what was stored before and what waits."""
    bare, one, _ = clones
    it = ledger(one)
    it.put_golden("sha256:aa", {"rows": [1]})
    bare.rename(tmp_path / "away.git")
    it.put_golden("sha256:bb", {"rows": [2]})
    assert it.goldens(["sha256:aa", "sha256:bb", "sha256:cc"]) == {"sha256:aa": {"rows": [1]}, "sha256:bb": {"rows": [2]}}
