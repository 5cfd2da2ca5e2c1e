"""Where new files may go: never over another one, never out of the repository, all of them or none."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.placing import check_free, checked, place_of, put, said, service_of, weighed, worktree, writable
from mlrelease.commands.workspace import FindingsError, Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.errors import Error, UsageError
from mlrelease.forge.git import Git
from mlrelease.model.finding import Finding
from mlrelease.model.spec import SourceFile
from mlrelease.spec.load import load
from support.example import ENV, EXAMPLE, MOD, SVC, edited, second, without
from support.repositories import git, repository

FILES = {path: SourceFile(data) for path, data in EXAMPLE.items()}


@pytest.fixture
def here(tmp_path):
    """A clone with one file committed, one that is not, a link and a folder."""
    root = repository(tmp_path / "clone", {"a/committed.yaml": "x\n"})
    (root / "a/loose.yaml").write_text("mine\n")
    (root / "a/link").symlink_to(tmp_path)
    (root / "a/dangling.yaml").symlink_to("nowhere")
    (root / "a/folder").mkdir()
    return Workspace(Git(root), Tracked("", "main"), "ada", "run", {})


# -- where -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("../x", "../x leads out of the repository", "name an environment, a service or a model"),
        ("a/../../x", "a/../../x leads out of the repository", "name an environment, a service or a model"),
        ("/etc/passwd", "/etc/passwd leads out of the repository", "name an environment, a service or a model"),
        ("//etc/passwd", "//etc/passwd leads out of the repository", "name an environment, a service or a model"),
        ("a/link", "a/link is a link", "replace it by a real file or folder"),
        ("a/link/b.yaml", "a/link is a link", "replace it by a real file or folder"),
        ("a/dangling.yaml", "a/dangling.yaml is a link", "replace it by a real file or folder"),
        ("a/loose.yaml/b.yaml", "a/loose.yaml is no folder", "move it away"),
    ],
)
def test_a_place_that_is_not_ours_is_refused(here, path, message, hint):
    """Neither above the repository nor behind a link."""
    with pytest.raises(UsageError) as refused:
        place_of(here, path)
    assert (refused.value.message, refused.value.hint) == (message, hint)


@pytest.mark.parametrize("path", ["a/committed.yaml", "a/new.yaml", "new/deep/file.yaml", "a/folder", "..a/b..yaml"])
def test_a_place_within_is_where_it_says(here, path):
    """Whether or not something is there."""
    assert place_of(here, path) == here.git.root() / path


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.yaml", "~", "/"]), min_size=1, max_size=5).map("/".join))
def test_no_path_leads_out(tmp_path_factory, path):
    """Whatever is joined together."""
    root = tmp_path_factory.getbasetemp()

    class Rooted:
        git = type("Here", (), {"root": staticmethod(lambda: root)})

    try:
        place = place_of(Rooted, path)
    except UsageError:
        return
    assert os.path.normpath(place).startswith(str(root))


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        ("a/committed.yaml", None, "a/committed.yaml is committed already: nothing was written"),
        ("a/committed.yaml", b"x\n", "a/committed.yaml is committed already: nothing was written"),
        ("a/loose.yaml", None, "a/loose.yaml exists: nothing was written"),
        ("a/loose.yaml", b"other\n", "a/loose.yaml exists: nothing was written"),
        ("a/folder", b"mine\n", "a/folder exists: nothing was written"),
    ],
    ids=["committed", "committed, the same bytes", "loose", "loose, other bytes", "a folder"],
)
def test_something_there_is_in_the_way(here, path, data, message):
    """Nothing is overwritten."""
    with pytest.raises(UsageError) as refused:
        check_free(here, path, data)
    assert refused.value.message == message


def test_what_a_killed_run_left_is_not_in_the_way(here):
    """The very bytes that are to be written, not committed yet; nor is a place where nothing is."""
    check_free(here, "a/loose.yaml", b"mine\n")
    check_free(here, "a/new.yaml")
    check_free(here, "new/new.yaml", b"x")


def test_a_file_that_was_removed_and_not_committed_is_in_the_way(here):
    """Its history would be continued by accident."""
    (here.git.root() / "a/committed.yaml").unlink()
    with pytest.raises(UsageError, match="is committed already"):
        check_free(here, "a/committed.yaml", b"new\n")


# -- put ---------------------------------------------------------------------------------------------------------------


def test_files_are_committed_and_nothing_else(here):
    """The commit comes back; what lies beside them stays as it is."""
    sha = put(here, {"a/new.yaml": b"1\n", "b/new.yaml": b"2\n"}, "Add two\n", commit=True)
    root = here.git.root()
    assert sha == git(root, "rev-parse", "HEAD")
    assert git(root, "show", "--format=%B", "--name-only", "HEAD").split() == ["Add", "two", "a/new.yaml", "b/new.yaml"]
    assert "?? a/loose.yaml" in git(root, "status", "--porcelain")


def test_without_a_commit_they_are_files_that_others_may_read(here):
    """No commit comes back; the index knows nothing of them."""
    before = git(here.git.root(), "rev-parse", "HEAD")
    assert put(here, {"n/new.yaml": b"1\n", "a/committed.yaml": b"changed\n"}, "unused", commit=False) == ""
    root = here.git.root()
    assert (root / "n/new.yaml").read_bytes() == b"1\n"
    assert (root / "n/new.yaml").stat().st_mode & 0o777 == 0o644
    assert git(root, "rev-parse", "HEAD") == before
    assert git(root, "diff", "--name-only") == "a/committed.yaml"
    assert git(root, "diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("last", ["a/folder", "a/loose.yaml/b.yaml", "../out.yaml"])
@pytest.mark.parametrize("commit", [True, False], ids=["with a commit", "without"])
def test_when_one_cannot_be_written_none_is(here, last, commit):
    """The new file is gone again, the changed one has its old bytes."""
    root = here.git.root()
    before = git(root, "status", "--porcelain")
    with pytest.raises(Error):
        put(here, {"a/committed.yaml": b"changed\n", "a/first.yaml": b"1\n", last: b"2\n"}, "Add\n", commit=commit)
    assert git(root, "status", "--porcelain") == before
    assert (root / "a/committed.yaml").read_text() == "x\n"
    assert (root / "a/loose.yaml").read_text() == "mine\n"


# -- what is judged ----------------------------------------------------------------------------------------------------


def test_a_change_is_weighed_by_the_findings_that_it_brings():
    """Those that are there already, elsewhere or in the same file, are their owner's business."""
    broken = edited((SVC, "replicas: ", "replicas: -"))
    spec, new = weighed(broken, {})
    assert spec.findings
    assert new == ()
    _, new = weighed(broken, {ENV: EXAMPLE[ENV] + b"colour: red\n"})
    assert [finding.path for finding in new] == [ENV]
    _, new = weighed(FILES, {SVC: broken[SVC].data})
    assert {finding.path for finding in new} == {SVC}


def test_what_the_next_verb_mends_is_pending():
    """By its rule; any other finding of the same change still counts."""
    files = second()
    lacking = {path: source for path, source in files.items() if "staging/models" not in path}
    kept = {path: source for path, source in lacking.items() if "staging/services" not in path}
    added = {path: source.data for path, source in lacking.items() if path not in kept}
    (finding,) = weighed(kept, added)[1]
    assert finding.rule == "service-without-models"
    assert weighed(kept, added, pending=(finding.rule,))[1] == ()
    assert weighed(kept, added, pending=("empty-environment",))[1] == (finding,)


def test_a_change_that_brings_a_finding_is_refused_in_one_line():
    """Place, defect and what is expected; the way out is the finding's."""
    changed = {MOD: EXAMPLE[MOD].replace(b"digest: ", b"digest: x")}
    finding = weighed(FILES, changed)[1][0]
    with pytest.raises(Error) as refused:
        checked(FILES, changed)
    assert refused.value.message == f"{said(finding)}: nothing was written"
    assert refused.value.hint == (finding.fix or "mlrelease validate --offline")
    assert checked(FILES, {}).findings == load(FILES).findings


@pytest.mark.parametrize(
    ("line", "expected", "text"),
    [
        (7, "a number", "environments/x.yaml:7: it is wrong (expected: a number)"),
        (7, "", "environments/x.yaml:7: it is wrong"),
        (0, "", "environments/x.yaml: it is wrong"),
    ],
    ids=["all of it", "nothing expected", "no line"],
)
def test_a_finding_in_one_line(line, expected, text):
    """What is not known leaves no mark."""
    finding = Finding(rule="r", path="environments/x.yaml", line=line, column=1, message="it is wrong", expected=expected)
    assert said(finding) == text


# -- names -------------------------------------------------------------------------------------------------------------

ONE = {"environments/p/services/wine.yaml": SourceFile(b"")}
TWO = ONE | {"environments/p/services/beer.yaml": SourceFile(b""), "environments/q/services/rum.yaml": SourceFile(b"")}


@pytest.mark.parametrize(("files", "asked", "found"), [(ONE, "", "wine"), (ONE, "wine", "wine"), (TWO, "beer", "beer")])
def test_the_service_asked_for_or_the_only_one(files, asked, found):
    """Nobody has to name what cannot be meant otherwise."""
    assert service_of(files, "p", asked) == found


@pytest.mark.parametrize(
    ("files", "asked", "message", "hint"),
    [
        (TWO, "", "which service answers for it?", "services there: beer, wine"),
        (TWO, "rum", "p has no service 'rum'", "services there: beer, wine"),
        ({}, "", "which service answers for it?", "mlrelease new service p NAME --image …"),
        ({}, "wine", "p has no service 'wine'", "mlrelease new service p NAME --image …"),
        (ONE, "../services/wine", "p has no service '../services/wine'", "services there: wine"),
    ],
    ids=["two to choose from", "another environment's", "none at all", "none of that name", "a path"],
)
def test_a_service_without_a_file_is_refused(files, asked, message, hint):
    """With those that there are, or the verb that makes the first."""
    with pytest.raises(UsageError) as refused:
        service_of(files, "p", asked)
    assert (refused.value.message, refused.value.hint) == (message, hint)


def test_an_environment_may_be_written_to_while_it_lacks_services():
    """That is what is being mended; one that goes away, that is none, or that cannot be read is refused."""
    spec = load(without(SVC, MOD))
    assert spec.blocking("production") or spec.findings
    assert writable(spec, "production").name == "production"
    with pytest.raises(UsageError, match="there is no environment 'staging'"):
        writable(spec, "staging")
    gone = load(edited((ENV, "environment: production\n", "environment: production\nstate: absent\n")))
    with pytest.raises(UsageError) as refused:
        writable(gone, "production")
    assert (refused.value.message, refused.value.hint) == ("production says state: absent", "remove that line first")
    with pytest.raises(FindingsError, match="production cannot be read"):
        writable(load(edited((ENV, "schema: 1", "schema: [1"))), "production")


def test_the_work_tree_is_what_lies_here(here):
    """Committed or not, below `environments/` alone."""
    root = here.git.root()
    (root / "environments/p").mkdir(parents=True)
    (root / "environments/p/environment.yaml").write_text("x")
    assert {path: source.data for path, source in worktree(here).items()} == {"environments/p/environment.yaml": b"x"}
