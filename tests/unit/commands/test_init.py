"""`init` vendors files with a record of them; `init --upgrade` refreshes those that nobody changed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlrelease.commands.new import NewEnvironment, new_environment
from mlrelease.commands.shipped import WORKFLOWS
from mlrelease.commands.vendored import RECORD, VERSION, upgrade, vendored_files
from mlrelease.errors import Error, UsageError
from mlrelease.model.bundle import sha256_digest
from mlrelease.render.workflow import PATH as DEPLOY
from support.newcomer import as_json, golden, newcomer, text
from support.repositories import git

MODEL = "templates/schemas/model.v1.json"
SERVICE = "templates/schemas/service.v1.json"
UNIT = "templates/systemd/mlrelease-agent.service"
OLD = b'{"old": true}\n'


@pytest.fixture
def here(tmp_path):
    """A repository made just now."""
    return newcomer(tmp_path)


def aged(made, *paths, recorded=True):
    """The repository as an older mlrelease would have made it: `paths` had other content then, 0.0.9 wrote it."""
    for path in paths:
        made.write(path, OLD.decode())
    record = json.loads(made.read(RECORD))
    record["version"] = "0.0.9"
    record["files"] |= {path: sha256_digest(OLD) for path in paths}
    made.write(RECORD, json.dumps(record))
    made.write(VERSION, "0.0.9\n")
    if not recorded:
        (made.root / RECORD).unlink()
    made.commit("Made by 0.0.9")
    # one commit as `init` makes it: the files are in it from the start
    git(made.root, "update-ref", "HEAD", git(made.root, "commit-tree", "HEAD^{tree}", "-m", "Start"))
    return made


def what(report):
    return {row[0]: row[1] for row in report.rows}


def test_init_vendors_schemas_and_unit_and_says_so(here):
    """Every file with the hash of its bytes, and the version that wrote them."""
    record = json.loads(here.read(RECORD))
    assert set(record) == {"schema", "version", "files"}
    assert {UNIT, MODEL, SERVICE, "templates/schemas/environment.v1.json"} <= set(record["files"])
    workflows = {p.removeprefix(".github/workflows/") for p in record["files"] if p.startswith(".github/workflows/")}
    assert workflows == {f"{name}.yml" for name in (*WORKFLOWS, "deploy")}
    assert {".github/actions/setup-mlrelease/action.yml", ".github/zizmor.yml", ".github/CODEOWNERS"} <= set(record["files"])
    for path, digest in record["files"].items():
        assert sha256_digest((here.root / path).read_bytes()) == digest
    assert here.read(VERSION).strip() == record["version"]
    assert here.status == ""


def test_a_fresh_repository_has_nothing_to_upgrade(here):
    """No commit, exit 0."""
    head = here.head
    report = upgrade(here, dry_run=False)
    assert (report.exit_code, here.head, set(what(report).values())) == (0, head, {"current"})


@pytest.mark.parametrize("recorded", [True, False], ids=["with a record", "made before there was a record"])
def test_the_report_in_full(here, recorded, capsys, update_golden):
    """Untouched files are replaced, the user's are left with the command that shows the difference."""
    aged(here, MODEL, SERVICE, recorded=recorded)
    here.write(SERVICE, '{"mine": 1}\n')
    (here.root / UNIT).unlink()
    here.commit("My own")
    report = upgrade(here, dry_run=False)
    told = text(report, capsys).replace(str(vendored_root()), "PACKAGE")
    golden("init/upgrade.txt", told, update=update_golden and recorded)
    assert here.read(MODEL).encode() == vendored_files()[MODEL]
    assert (here.read(SERVICE), (here.root / UNIT).exists()) == ('{"mine": 1}\n', False)
    assert here.subjects[0] == f"Upgrade the vendored files to mlrelease {here.read(VERSION).strip()}"
    assert git(here.root, "show", "--name-only", "--format=", "HEAD").splitlines() == [VERSION, RECORD, MODEL]


def vendored_root():
    from mlrelease.files import bundled

    return bundled("templates").parent


@pytest.mark.parametrize("recorded", [True, False], ids=["with a record", "made before there was a record"])
def test_the_second_upgrade_does_nothing(here, recorded):
    """What was left stays left: nothing comes back, nothing is overwritten later."""
    aged(here, MODEL, SERVICE, recorded=recorded)
    here.write(SERVICE, '{"mine": 1}\n')
    (here.root / UNIT).unlink()
    here.commit("My own")
    first, head = what(upgrade(here, dry_run=False)), here.head
    again = upgrade(here, dry_run=False)
    assert (here.head, here.status) == (head, "")
    assert what(again) == first | {MODEL: "current"}


def test_a_dry_run_writes_nothing(here):
    """It says the same."""
    aged(here, MODEL)
    before = here.everything
    report = upgrade(here, dry_run=True)
    assert what(report)[MODEL] == "replaced"
    assert here.everything == before
    assert report.next == "mlrelease init --upgrade"


def test_the_json_names_both_versions(here, capsys):
    """From, to, and each file."""
    aged(here, MODEL)
    found = as_json(upgrade(here, dry_run=False), capsys)
    assert (found["from"], found["to"], found["commit"]) == ("0.0.9", here.read(VERSION).strip(), here.head)
    assert {"path": MODEL, "what": "replaced", "reason": ""} in found["files"]


def test_a_file_that_is_new_in_this_version_is_added(here):
    """It was never there, so nobody removed it."""
    aged(here)
    git(here.root, "rm", "--quiet", UNIT)
    record = json.loads(here.read(RECORD))
    del record["files"][UNIT]
    here.write(RECORD, json.dumps(record))
    git(here.root, "add", "-A")
    git(here.root, "commit", "--quiet", "--amend", "-m", "Start")
    assert what(upgrade(here, dry_run=False))[UNIT] == "added"
    assert here.read(UNIT).encode() == vendored_files()[UNIT]


def test_a_file_that_is_shipped_no_more_is_named(here):
    """It is the user's to remove."""
    aged(here)
    here.write("templates/schemas/gone.v1.json", "{}\n")
    record = json.loads(here.read(RECORD))
    record["files"]["templates/schemas/gone.v1.json"] = sha256_digest(b"{}\n")
    here.write(RECORD, json.dumps(record))
    here.commit()
    report = upgrade(here, dry_run=False)
    assert [row for row in report.rows if "gone" in row[0]] == [
        ("templates/schemas/gone.v1.json", "left", "not shipped any more: git rm templates/schemas/gone.v1.json")
    ]
    assert (here.root / "templates/schemas/gone.v1.json").exists()


def test_edits_that_are_not_committed_are_left(here):
    """In a vendored file as elsewhere; nothing else is committed along."""
    aged(here, MODEL, SERVICE)
    here.write(SERVICE, "{}\n")
    here.write("README.md", "edited\n")
    report = upgrade(here, dry_run=False)
    assert (what(report)[SERVICE], what(report)[MODEL]) == ("left", "replaced")
    assert {line.strip() for line in here.status.split("\n")} == {"M README.md", f"M {SERVICE}"}


def test_what_a_killed_upgrade_left_is_committed_by_the_next(here):
    """Some files were written, none was committed."""
    aged(here, MODEL, SERVICE)
    here.write(MODEL, vendored_files()[MODEL].decode())
    report = upgrade(here, dry_run=False)
    assert (what(report)[MODEL], what(report)[SERVICE]) == ("current", "replaced")
    assert here.status == ""
    assert here.read(SERVICE).encode() == vendored_files()[SERVICE]


def test_a_newer_repository_is_refused(here):
    """An older program would put older schemas back."""
    here.write(VERSION, "99.0.0\n")
    here.commit()
    before = here.everything
    with pytest.raises(Error, match=r"mlrelease 99\.0\.0 made this repository"):
        upgrade(here, dry_run=False)
    assert here.everything == before


@pytest.mark.parametrize(
    "text_of_record",
    ["", "{", "[]", '{"files": 3}', '{"files": ["a"]}', "null"],
    ids=["empty", "cut off", "a list", "a number", "a list of files", "null"],
)
def test_a_damaged_record_is_an_error(here, text_of_record):
    """Nothing is guessed from it."""
    aged(here, MODEL)
    here.write(RECORD, text_of_record)
    with pytest.raises(Error, match=r"vendored\.json is damaged") as caught:
        upgrade(here, dry_run=False)
    assert RECORD in caught.value.hint
    assert here.read(MODEL).encode() == OLD


def test_paths_in_the_record_lead_nowhere(here, tmp_path):
    """Only files that this version ships are written, whatever the record names."""
    aged(here)
    (tmp_path / "outside").write_text("mine\n")
    record = json.loads(here.read(RECORD))
    record["files"] |= {"../outside": sha256_digest(b"mine\n"), "/etc/passwd": "sha256:0"}
    here.write(RECORD, json.dumps(record))
    here.commit()
    upgrade(here, dry_run=False)
    assert (tmp_path / "outside").read_text() == "mine\n"


def test_a_link_in_place_of_a_vendored_file_is_not_followed(here, tmp_path):
    """Its target is somebody else's file."""
    aged(here, MODEL)
    outside = tmp_path / "outside.json"
    outside.write_bytes(OLD)
    (here.root / MODEL).unlink()
    (here.root / MODEL).symlink_to(outside)
    here.commit()
    upgrade(here, dry_run=False)
    assert outside.read_bytes() == OLD
    assert (here.root / MODEL).is_symlink()


def test_a_repository_that_mlrelease_did_not_make_is_refused(here):
    """Nothing is vendored into somebody's project by accident."""
    git(here.root, "rm", "--quiet", VERSION)
    here.commit()
    with pytest.raises(UsageError, match="did not make this repository"):
        upgrade(here, dry_run=False)


def test_a_hook_that_says_no_leaves_the_old_files(here):
    """All or nothing."""
    aged(here, MODEL, SERVICE)
    hook = here.root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Error, match="no"):
        upgrade(here, dry_run=False)
    assert (here.status, here.read(MODEL).encode()) == ("", OLD)


def test_the_program_takes_the_options(here, tmp_path):
    """`init --upgrade`, in this folder or another; a folder is needed for a new one."""
    aged(here, MODEL)

    def run(*words, cwd=here.root):
        command = [sys.executable, "-m", "mlrelease.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)

    assert run("init").returncode == 2
    assert run("init", "new", "--dry-run").returncode == 2
    assert run("init", "--upgrade", "--dry-run").returncode == 0
    assert here.read(MODEL).encode() == OLD
    assert run("init", str(here.root), "--upgrade", cwd=tmp_path).returncode == 0
    assert here.read(MODEL).encode() == vendored_files()[MODEL]
    assert run("init", "--upgrade", cwd=tmp_path).returncode == 1


# -- the workflow that is made from the environments ----------------------------------------------------------------


def jobs_of(made):
    import yaml

    return [job for job in yaml.safe_load(made.read(DEPLOY))["jobs"] if job != "all-green"]


def test_the_first_workflow_waits_for_the_example(here):
    """One environment, one job."""
    assert jobs_of(here) == ["deploy-production"]


def test_the_workflow_follows_the_environments(here):
    """A new one is in it with its commit; what is changed by hand, after an upgrade; both recorded as ours."""
    new_environment(here, "staging", NewEnvironment(like="production"))
    assert jobs_of(here) == ["deploy-production", "deploy-staging"]
    file = here.root / "environments/production/environment.yaml"
    file.write_text(
        file.read_text().replace(
            "environment: production\n", "environment: production\npromotes_from: staging\napproval: required\n"
        )
    )
    here.commit("Promote from staging")
    assert what(upgrade(here, dry_run=False))[DEPLOY] == "replaced"
    assert jobs_of(here) == ["deploy-staging", "plan-production", "approve-production", "deploy-production"]
    assert what(upgrade(here, dry_run=False))[DEPLOY] == "current"


@pytest.mark.parametrize("how", ["changed", "removed", "without a record"])
def test_a_workflow_that_is_the_users_is_left(here, how):
    """By a new environment, and by an upgrade."""
    if how == "changed":
        here.write(DEPLOY, here.read(DEPLOY) + "# mine\n")
    elif how == "removed":
        (here.root / DEPLOY).unlink()
    else:
        (here.root / RECORD).unlink()
    here.commit("Mine")
    before = here.read(DEPLOY) if how != "removed" else None
    new_environment(here, "staging", NewEnvironment(like="production"))
    assert (here.read(DEPLOY) if (here.root / DEPLOY).exists() else None) == before
    assert git(here.root, "show", "--name-only", "--format=", "HEAD") == "environments/staging/environment.yaml"
    if how == "changed":
        [line] = [line for line in upgrade(here, dry_run=False).rows if line[0] == DEPLOY]
        assert line[1:] == ("left", "you changed it: move it away to have it made again")


def test_a_damaged_record_stops_a_new_environment(here):
    """With what to do, and before anything is written."""
    here.write(RECORD, "{")
    before = here.everything
    with pytest.raises(Error, match="damaged"):
        new_environment(here, "staging", NewEnvironment(like="production"))
    assert here.everything == before


def test_another_branch_is_in_every_workflow(tmp_path):
    """What `--branch` says at the start."""
    made = newcomer(tmp_path, branch="trunk")
    for name in (*WORKFLOWS, "deploy"):
        text = made.read(f".github/workflows/{name}.yml")
        assert "branches: [main]" not in text, name
        assert "- main" not in text, name
    assert "- trunk" in made.read(DEPLOY)
