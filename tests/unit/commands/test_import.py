"""`import`: aliases become pins, one commit each; what is pinned stays, what cannot be read is said."""

from __future__ import annotations

import pytest
from mlrelease.commands.import_pins import ImportOptions, import_pins
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import model_key
from mlrelease.model.event import Rejected
from support.fake_registry import FakeRegistry, pin_of
from support.newcomer import as_json, golden, newcomer, text
from support.repositories import git

ALL = ImportOptions(alias="champion", service="wine")


def files_of(name, version):
    return {"MLmodel": b"flavors: {}\n", "model.bin": f"{name} {version}".encode()}


def register(fake, name, versions, alias=""):
    """Versions 1 to `versions`, the alias on the last."""
    for version in range(1, versions + 1):
        fake.add(name, str(version), files_of(name, version))
    if alias:
        fake.set_alias(name, alias, str(versions))


@pytest.fixture
def here(tmp_path):
    """`wine` is pinned at 1; MLflow has champions of wine (2), risk (3), fraud (1), and a model without one."""
    made = newcomer(tmp_path)
    for name, versions, alias in (("wine", 2, "champion"), ("risk", 3, "champion"), ("fraud", 1, "champion"), ("old", 1, "")):
        register(made.fake, name, versions, alias)
    return made


def rows(report):
    return {row[0]: tuple(row[1:4]) for row in report.rows}


# -- the round ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("dry-run", ImportOptions(alias="champion", service="wine", dry_run=True)),
        ("without-service", ImportOptions(alias="champion")),
        ("everything", ALL),
        ("one-model", ImportOptions(alias="champion", service="wine", models=("risk",))),
        ("nothing-has-the-alias", ImportOptions()),
    ],
    ids=["shown only", "only files that are there", "with a service for the new", "narrowed", "nobody has the alias"],
)
def test_the_report_in_full(here, case, options, capsys, update_golden):
    """Every model with the alias has its line."""
    golden(f"import/{case}.txt", text(import_pins(here, "production", options), capsys), update=update_golden)


def test_every_pin_is_one_commit_and_the_files_are_valid(here):
    """Files of the house's form; each can be reverted alone."""
    report = import_pins(here, "production", ALL)
    assert report.exit_code == 0
    assert sorted(here.subjects[:3]) == [f"Pin {name} in production" for name in ("fraud 1", "risk 3", "wine 2")]
    for sha in git(here.root, "rev-list", "-3", "HEAD").split():
        assert len(git(here.root, "show", "--name-only", "--format=", sha).splitlines()) == 1
    spec = here.worktree_spec()
    assert spec.findings == ()
    assert {pin.name: pin.version for pin in spec.environments["production"].services["wine"].bundle.models} == {
        "fraud": "1",
        "risk": "3",
        "wine": "2",
    }
    assert here.status == ""


def test_the_digest_is_that_of_the_bytes(here, tmp_path):
    """What is pinned is what MLflow has now."""
    import_pins(here, "production", ALL)
    expected = pin_of("risk", "3", files_of("risk", 3), tmp_path / "scratch").digest
    assert f"digest: {expected}" in here.read("environments/production/models/risk.yaml")


def test_the_second_time_there_is_nothing_to_do(here):
    """And nothing is read from MLflow but the aliases."""
    import_pins(here, "production", ALL)
    head, read = here.head, list(here.fake.downloaded)
    report = import_pins(here, "production", ALL)
    assert (report.exit_code, here.head, here.fake.downloaded) == (0, head, read)
    assert {row[3] for row in report.rows} == {"pinned already"}


def test_a_dry_run_writes_and_reads_nothing(here):
    """No commit, no file, no artifact."""
    before = here.everything
    report = import_pins(here, "production", ImportOptions(alias="champion", service="wine", dry_run=True))
    assert here.everything == before
    assert here.fake.downloaded == []
    assert rows(report)["risk"] == ("–", "3", "added")


def test_comments_of_a_file_that_is_moved_stay(here):
    """Only the pin's tokens change."""
    path = "environments/production/models/wine.yaml"
    here.write(path, here.read(path).replace('version: "1"', 'version: "1"  # the good one'))
    here.commit()
    before = here.read(path).splitlines()
    import_pins(here, "production", ALL)
    after = here.read(path).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [old.partition(":")[0] for old, _ in changed] == ["version", "digest"]
    assert 'version: "2"  # the good one' in after


def test_the_alias_is_the_environments_unless_named(here):
    """Its own alias, `production`, is what somebody else set there before."""
    here.fake.set_alias("risk", "production", "1")
    assert rows(import_pins(here, "production", ImportOptions(service="wine"))) == {
        "risk": ("–", "1", "added"),
        "wine": ("1", "–", "left"),
    }


def test_the_json_has_a_line_for_every_model(here, capsys):
    """Stable keys; the commit beside each pin."""
    here.fake.broken.add(("old", "1"))
    found = as_json(import_pins(here, "production", ALL), capsys)
    assert sorted(found) == [
        *("alias", "dry_run", "environment", "exit_code", "models", "next", "registry", "schema", "verdict"),
    ]
    assert [(m["model"], m["before"], m["after"], m["what"], bool(m["commit"])) for m in found["models"]] == [
        ("fraud", "", "1", "added", True),
        ("old", "", "", "failed", False),
        ("risk", "", "3", "added", True),
        ("wine", "1", "2", "moved", True),
    ]


def test_without_golden_predictions_the_manifest_is_kept_all_the_same(here):
    """For models whose packages are not installed here."""
    report = import_pins(here, "production", ImportOptions(alias="champion", service="wine", golden=False))
    assert {row[4] for row in report.rows} == {"golden predictions are left to the host"}
    pins = here.worktree_spec().environments["production"].services["wine"].bundle.models
    assert all(here.ledger().manifest(pin.digest) for pin in pins)


# -- what is left alone ------------------------------------------------------------------------------------------------


def _absent(here):
    path = "environments/production/models/wine.yaml"
    here.write(path, here.read(path) + "state: absent\n")
    here.commit()
    return "its file says state: absent"


def _edited(here):
    path = "environments/production/models/wine.yaml"
    here.write(path, here.read(path) + "# my note\n")
    return "its file has changes that are not committed"


def _invalid(here):
    path = "environments/production/models/wine.yaml"
    here.write(path, here.read(path) + "colour: red\n")
    here.commit()
    return "its file, or its service's, has findings: mlrelease validate --offline"


def _removed(here):
    (here.root / "environments/production/models/wine.yaml").unlink()
    return "its file was removed, but not committed"


@pytest.mark.parametrize(
    "prepare", [_absent, _edited, _invalid, _removed], ids=["to be removed", "edited", "invalid", "removed by hand"]
)
def test_a_file_that_is_somebodys_business_is_left(here, prepare):
    """It gets its line, the others are imported."""
    reason = prepare(here)
    before = here.root.joinpath("environments/production/models/wine.yaml")
    content = before.read_bytes() if before.exists() else None
    report = import_pins(here, "production", ALL)
    (line,) = [row for row in report.rows if row[0] == "wine"]
    assert line[3:] == ("left", reason)
    assert (before.read_bytes() if before.exists() else None) == content
    assert "Pin risk 3 in production" in here.subjects


@pytest.mark.parametrize("name", ["a b", "../up", "a/b", "ä", "x" * 64, ".hidden"])
def test_a_registered_name_that_cannot_be_a_file_name_is_left(here, name):
    """MLflow allows what a file system, a URL or a metric label does not."""
    register(here.fake, name, 1, "champion")
    report = import_pins(here, "production", ALL)
    assert [row[3:] for row in report.rows if row[0] == name] == [("left", "its name cannot be the name of a file")]
    assert here.worktree_spec().findings == ()
    assert not (here.root.parent / "up.yaml").exists()


def test_a_rejected_version_is_not_imported(here, tmp_path):
    """Exit 5; the others are imported."""
    digest = pin_of("risk", "3", files_of("risk", 3), tmp_path / "scratch").digest
    words = {"service": "wine", "components": ((model_key("risk"), str(digest)),)}
    here.ledger().append([Rejected(here.new_id(), "production", 1.0, "ann", "biased", **words)])
    report = import_pins(here, "production", ALL)
    assert report.exit_code == 5
    assert rows(report) == {"fraud": ("–", "1", "added"), "risk": ("–", "3", "rejected"), "wine": ("1", "2", "moved")}
    assert "Pin risk 3 in production" not in here.subjects


@pytest.mark.parametrize(
    ("loader", "code", "what", "reason"),
    [
        ("mlflow.sklearn", 1, "failed", "does not load and predict"),
        ("no_such", 5, "rejected", "not loaded: loading MLmodel would import no_such"),
    ],
    ids=["it breaks while loading", "it would import what is not allowed"],
)
def test_a_model_that_does_not_load_gets_its_line(here, loader, code, what, reason):
    """What may not be loaded is not tried; the others are imported either way."""
    info = f"flavors:\n  python_function:\n    loader_module: {loader}\nsaved_input_example_info:\n  serving_input_path: e\n"
    here.fake.add("bad", "1", {"MLmodel": info.encode(), "e": b'{"inputs": [[1]]}'})
    here.fake.set_alias("bad", "champion", "1")
    report = import_pins(here, "production", ALL)
    assert (report.exit_code, rows(report)["bad"][2]) == (code, what)
    assert reason in next(row[4] for row in report.rows if row[0] == "bad")
    assert rows(report)["risk"][2] == "added"
    assert not (here.root / "environments/production/models/bad.yaml").exists()


# -- usage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V22", "8"])
def test_an_alias_that_mlflow_keeps_is_refused(here, alias):
    """They are versions or move by themselves."""
    with pytest.raises(UsageError, match="MLflow keeps this alias"):
        import_pins(here, "production", ImportOptions(alias=alias))


def test_without_any_alias_it_has_to_be_named(here):
    """A guess among champion, production and prod would be one."""
    path = "environments/production/environment.yaml"
    here.write(path, "".join(line for line in here.read(path).splitlines(keepends=True) if not line.startswith("alias")))
    here.commit()
    with pytest.raises(UsageError, match="which alias"):
        import_pins(here, "production", ImportOptions())


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        ("nowhere", ALL, "no environment 'nowhere'"),
        ("../production", ALL, "no environment"),
        ("production", ImportOptions(alias="champion", service="none"), "no service 'none'"),
        ("production", ImportOptions(alias="champion", service="../../x"), "no service"),
    ],
    ids=["an unknown environment", "a path for an environment", "an unknown service", "a path for a service"],
)
def test_wrong_names_are_refused(here, environment, options, message):
    """Before MLflow is asked anything."""
    here.fake.down = True
    with pytest.raises(UsageError, match=message):
        import_pins(here, environment, options)


def test_a_model_that_was_named_and_has_no_alias_is_a_failure(here):
    """Asked for by name, it is missed."""
    report = import_pins(here, "production", ImportOptions(alias="champion", models=("old", "none")))
    assert report.exit_code == 1
    assert {row[0]: row[4] for row in report.rows} == {
        "none": "it has no alias champion at http://fake",
        "old": "it has no alias champion at http://fake",
    }


# -- broken worlds -----------------------------------------------------------------------------------------------------


def test_a_dead_mlflow_changes_nothing(here):
    """One error, no line, no commit."""
    here.fake.down = True
    before = here.everything
    with pytest.raises(UnavailableError, match="did not answer"):
        import_pins(here, "production", ALL)
    assert here.everything == before


def test_a_dead_mlflow_fails_each_model_that_was_named(here):
    """Whoever names models gets a line for each; nothing was written either."""
    here.fake.down = True
    before = here.everything
    report = import_pins(here, "production", ImportOptions(alias="champion", models=("wine", "risk", "wine")))
    assert [(row[0], row[3]) for row in report.rows] == [("risk", "failed"), ("wine", "failed")]
    assert report.verdict == "production: 2 failed"
    assert (report.exit_code, here.everything) == (1, before)


def test_without_a_name_for_commits_nothing_is_read(here, tmp_path, monkeypatch):
    """Said before hours of downloads, not after."""
    (tmp_path / "nobody").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    with pytest.raises(Error, match="does not know who commits"):
        import_pins(here, "production", ALL)
    assert here.fake.downloaded == []


class _DiesMidway(FakeRegistry):
    """Answers about aliases; gone after the first download."""

    def download(self, facts, into):
        if self.downloaded:
            self.down = True
        super().download(facts, into)


def test_an_mlflow_that_dies_midway_leaves_whole_commits(tmp_path):
    """What was read is committed, each of the rest has its line, and the next run goes on."""
    made = newcomer(tmp_path)
    fake = _DiesMidway()
    for name in ("a", "b", "c", "d"):
        register(fake, name, 1, "champion")
    made = type(made)(made.git, made.branch, made.actor, made.run_id, made.variables, fake)
    report = import_pins(made, "production", ALL)
    assert report.exit_code == 1
    assert [row[3] for row in report.rows if row[0] in "abcd"] == ["added", *["failed"] * 3]
    assert len(fake.downloaded) == 2  # the third and the fourth were not asked any more
    assert (made.status, made.subjects[0]) == ("", "Pin a 1 in production")
    fake.down, fake.downloaded = False, []
    fake.__class__ = FakeRegistry
    again = import_pins(made, "production", ALL)
    assert again.exit_code == 0
    assert [row[3] for row in again.rows if row[0] in "abcd"] == ["pinned already", *["added"] * 3]


def test_what_a_killed_run_left_is_committed_by_the_next(here):
    """A file that was written, but not committed, is not taken for somebody's work."""
    import_pins(here, "production", ImportOptions(alias="champion", service="wine", models=("risk", "wine")))
    git(here.root, "reset", "--quiet", "--mixed", "HEAD~2")
    assert sorted(here.status.split("\n")) == [
        "?? environments/production/models/risk.yaml",
        "M environments/production/models/wine.yaml",
    ]
    report = import_pins(here, "production", ALL)
    assert rows(report) == {"fraud": ("–", "1", "added"), "risk": ("3", "3", "added"), "wine": ("2", "2", "moved")}
    assert here.status == ""


def test_a_commit_that_is_refused_is_one_line(here):
    """The hook that says no to one pin does not keep the others out."""
    hook = here.root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\ngit diff --cached --name-only | grep -q risk && { echo no risk >&2; exit 1; }\nexit 0\n")
    hook.chmod(0o755)
    report = import_pins(here, "production", ALL)
    assert (report.exit_code, rows(report)["risk"][2]) == (1, "failed")
    assert (rows(report)["fraud"][2], rows(report)["wine"][2], here.status) == ("added", "moved", "")


def test_hundreds_of_models_are_asked_for_once_each(tmp_path):
    """A team that adopts the tool has that many; only the one that is imported is downloaded."""
    made = newcomer(tmp_path)
    for number in range(300):
        register(made.fake, f"book-{number:03}", 1, "champion")
    report = import_pins(made, "production", ImportOptions(alias="champion", service="wine", dry_run=True))
    assert len(report.rows) == 301
    report = import_pins(made, "production", ImportOptions(alias="champion", service="wine", models=("book-007",)))
    assert rows(report) == {"book-007": ("–", "1", "added")}
    assert made.fake.downloaded == [("book-007", "1")]
