"""The commits of a folder out of real repositories: squashes, merges, removals, and messages that look like git's own."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.forge.landings import descendants, landed, line, texts, written
from support.repositories import git, repository

FOLDER = "environments/production"
MODEL = f"{FOLDER}/models/wine.yaml"


def commit(path, text, message, *, file=MODEL, name="ada", at=1_800_000_000):
    place = path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    git(path, "add", "--all")
    identity = ("-c", f"user.name={name}", "-c", "user.email=x@example.com")
    git(path, *identity, "commit", "--quiet", "--date", f"@{at} +0000", "--message", message)
    return git(path, "rev-parse", "HEAD")


@pytest.fixture
def path(tmp_path):
    return repository(tmp_path / "r")


def subjects(commits):
    return [one.subject for one in commits]


def test_only_commits_of_the_folder_come_newest_first(path):
    """With author, dates, message and each file as it was left."""
    commit(path, "one\n", "Pin wine 1", at=1_700_000_000)
    commit(path, "x\n", "Readme", file="README.md")
    second = commit(path, "two\n", "Pin wine 2 (#12)\n\nBecause it is better.\nAnd newer.", name="Grace Höpper")
    found = landed(Git(path), "main", FOLDER)
    assert subjects(found) == ["Pin wine 2 (#12)", "Pin wine 1"]
    newest = found[0]
    assert (newest.sha, newest.author, newest.body) == (second, "Grace Höpper", "Because it is better.\nAnd newer.")
    assert (found[1].authored_at, newest.parents) == (1_700_000_000.0, (git(path, "rev-parse", "HEAD~1"),))
    assert {p: texts(Git(path), found)[blob] for p, blob in newest.blobs.items()} == {MODEL: b"two\n"}


def test_a_merge_stands_for_what_it_brought_on_the_branchs_line(path):
    """And `written` has those who wrote it."""
    commit(path, "one\n", "Pin wine 1")
    git(path, "checkout", "--quiet", "-b", "bump")
    commit(path, "two\n", "Pin wine 2", name="grace")
    git(path, "checkout", "--quiet", "main")
    commit(path, "x\n", "Meanwhile", file="README.md")
    git(path, "merge", "--quiet", "--no-ff", "--message", "Merge pull request #12 from acme/bump", "bump")
    found = landed(Git(path), "main", FOLDER)
    assert subjects(found) == ["Merge pull request #12 from acme/bump", "Pin wine 1"]
    assert len(found[0].parents) == 2
    assert list(found[0].blobs) == [MODEL]
    wrote = written(Git(path), "main", FOLDER)
    assert subjects(wrote) == ["Pin wine 2", "Pin wine 1"]
    assert wrote[0].blobs == found[0].blobs
    assert len(line(Git(path), "main")) == 4


def test_the_line_is_the_branchs_own_oldest_first(path):
    """Commits that a merge brought are not on it."""
    first = git(path, "rev-parse", "HEAD")
    second = commit(path, "one\n", "Pin wine 1")
    assert line(Git(path), "main") == (first, second)


def test_a_removed_file_has_no_object(path):
    """And a renamed one is one gone and one new."""
    commit(path, "one\n", "Pin wine 1")
    git(path, "mv", MODEL, f"{FOLDER}/models/port.yaml")
    git(path, "commit", "--quiet", "--message", "Rename")
    newest = landed(Git(path), "main", FOLDER)[0]
    assert newest.blobs[MODEL] == ""
    assert newest.blobs[f"{FOLDER}/models/port.yaml"]


def test_a_removed_file_has_no_object_where_ids_are_longer(tmp_path):
    """In a repository of SHA-256 ids the zeros are sixty-four."""
    (tmp_path / "r").mkdir()
    git(tmp_path / "r", "init", "--quiet", "--object-format=sha256")
    commit(tmp_path / "r", "one\n", "Pin wine 1")
    git(tmp_path / "r", "rm", "--quiet", MODEL)
    git(tmp_path / "r", "commit", "--quiet", "--message", "Remove wine")
    removed, pinned = landed(Git(tmp_path / "r"), "HEAD", FOLDER)
    assert removed.blobs == {MODEL: ""}
    assert len(pinned.sha) == len(pinned.blobs[MODEL]) == 64
    assert texts(Git(tmp_path / "r"), (removed, pinned)) == {pinned.blobs[MODEL]: b"one\n"}


@pytest.mark.parametrize(
    "message",
    [
        ":100644 100644 0000000000000000000000000000000000000000 1111111111111111111111111111111111111111 M\tx",
        "subject\n\n:100644 100644 a b M\nenvironments/production/models/wine.yaml",
        "\x01\x02\x03 control",
        "subject\n\n" + "0" * 40 + "\n\ncommit " + "1" * 40,
        "→ § émoji 🍷",
        "subject\n\n" + "long line " * 5000,
    ],
    ids=["raw line as subject", "raw lines as body", "control characters", "hashes", "not ASCII", "fifty thousand characters"],
)
def test_a_message_cannot_pass_for_gits_own_output(path, message):
    """Only NUL separates, and no message can hold one."""
    commit(path, "one\n", "Pin wine 1")
    commit(path, "two\n", message)
    commit(path, "three\n", "Pin wine 3")
    found = landed(Git(path), "main", FOLDER)
    assert [list(one.blobs) for one in found] == [[MODEL]] * 3
    assert [found[0].subject, found[2].subject] == ["Pin wine 3", "Pin wine 1"]


def test_odd_names_of_files_are_whole(path):
    """A file whose name begins like a raw line, and one with a line break."""
    odd = [f"{FOLDER}/:100644 x", f"{FOLDER}/a\nb.yaml", f"{FOLDER}/ü.yaml"]
    for name in odd:
        commit(path, "x\n", "Odd", file=name)
    assert sorted(name for one in landed(Git(path), "main", FOLDER) for name in one.blobs) == sorted(odd)


def test_large_files_are_left_out_of_the_texts(path):
    """What is larger than a pin file is none."""
    commit(path, "x" * (2 * 1024 * 1024 + 1), "Large", file=f"{FOLDER}/large.yaml")
    commit(path, "one\n", "Pin wine 1")
    found = landed(Git(path), "main", FOLDER)
    assert sorted(texts(Git(path), found).values()) == [b"one\n"]


def test_a_folder_without_commits_has_none(path):
    """That is no error."""
    assert landed(Git(path), "main", "environments/nowhere") == ()
    assert texts(Git(path), ()) == {}


def test_a_revision_that_is_not_here_is_an_error(path):
    """With what to do in a shallow clone."""
    with pytest.raises(Error, match="cannot be read") as missing:
        landed(Git(path), "f" * 40, FOLDER)
    assert "unshallow" in missing.value.hint


def test_the_users_own_settings_of_git_log_change_nothing(path):
    """Signatures, encodings, renames, merges, mail maps as somebody likes them."""
    commit(path, "one\n", "Pin wine 1")
    before = landed(Git(path), "main", FOLDER)
    for name, value in {
        "log.showSignature": "true",
        "i18n.logOutputEncoding": "ISO-8859-1",
        "diff.renames": "copies",
        "log.diffMerges": "off",
        "format.pretty": "oneline",
        "log.date": "relative",
        "core.quotePath": "true",
    }.items():
        git(path, "config", name, value)
    assert landed(Git(path), "main", FOLDER) == before


def test_the_descendants_of_a_commit_contain_it(path):
    """Itself, and those of the tip's history that came after it, also by a merge."""
    first = commit(path, "one\n", "Pin wine 1")
    git(path, "checkout", "--quiet", "-b", "side", "HEAD~1")
    other = commit(path, "x\n", "Side", file="side.txt")
    git(path, "checkout", "--quiet", "main")
    second = commit(path, "two\n", "Pin wine 2")
    git(path, "merge", "--quiet", "--no-ff", "--message", "Merge", "side")
    merge = git(path, "rev-parse", "HEAD")
    assert descendants(Git(path), first, "main") == {first, second, merge}
    assert descendants(Git(path), other, "main") == {other, merge}
    assert descendants(Git(path), merge, "main") == {merge}
