"""`new environment | service | model`: the files, the commits, and everything that is refused before a byte is written."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.new import (
    NewEnvironment,
    NewModel,
    NewService,
    new_environment,
    new_model,
    new_service,
)
from mlrelease.commands.vendored import RECORD
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import model_key
from mlrelease.model.event import Rejected
from mlrelease.render.workflow import PATH as DEPLOY
from mlrelease.spec.load import load
from support.fake_registry import pin_of
from support.newcomer import IMAGE, as_json, golden, newcomer, text
from support.repositories import git

FILES = {"MLmodel": b"flavors: {}\n", "model.bin": b"one"}
STAGING = "environments/staging/environment.yaml"


@pytest.fixture
def here(tmp_path):
    """A repository with `production`, and `wine` and `risk` registered."""
    made = newcomer(tmp_path)
    for name, versions in (("wine", 2), ("risk", 3)):
        for version in range(1, versions + 1):
            made.fake.add(name, str(version), {**FILES, "model.bin": f"{name} {version}".encode()})
    return made


def unchanged(made, before):
    """Nothing was written or committed since `before` was taken."""
    return made.everything == before


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("environment", NewEnvironment()),
        ("environment-not-committed", NewEnvironment(commit=False)),
        (
            "environment-with-everything",
            NewEnvironment("0.0.0.0:9000", "https://mlflow.acme.com", "champion", "production", "required"),
        ),
        ("environment-like-production", NewEnvironment(like="production", promotes_from="production")),
    ],
    ids=["without options", "without a commit", "with every option", "as a copy that promotes"],
)
def test_a_new_environment_is_this_file_and_this_report(here, case, options, capsys, update_golden):
    """The whole file, the whole report."""
    report = new_environment(here, "staging", options)
    golden(f"new/{case}.txt", text(report, capsys) + "\n" + here.read(STAGING), update=update_golden)
    assert (here.subjects[0] == "Add the environment staging") is options.commit
    assert here.status == ("" if options.commit else f"M {DEPLOY}\n M {RECORD}\n?? environments/staging/")


def test_a_new_service_is_this_file_and_this_report(here, capsys, update_golden):
    """In the form of the house: the image pin alone between blank lines."""
    report = new_service(here, "production", "fraud", NewService(IMAGE, 3))
    found = text(report, capsys) + "\n" + here.read("environments/production/services/fraud.yaml")
    golden("new/service.txt", found, update=update_golden)
    assert here.subjects[0] == "Add the service fraud to production"


def test_a_new_model_is_this_file_and_this_report(here, capsys, update_golden):
    """The newest version, and the digest of its very bytes."""
    report = new_model(here, "production", "risk", NewModel("wine"))
    found = text(report, capsys) + "\n" + here.read("environments/production/models/risk.yaml")
    golden("new/model.txt", found, update=update_golden)
    assert here.subjects[0] == "Pin risk 3 in production"


def test_the_reports_json_has_these_keys(here, capsys):
    """Stable for programs: where, and in which commit."""
    found = as_json(new_environment(here, "staging", NewEnvironment()), capsys)
    assert found == {
        "schema": 1,
        "verdict": f"{STAGING}: committed as {here.head[:9]}",
        "exit_code": 0,
        "next": "mlrelease new service staging NAME --image REPOSITORY:TAG@sha256:…",
        "environment": "staging",
        "path": STAGING,
        "commit": here.head,
    }


def test_the_three_verbs_make_an_environment_without_a_finding(here):
    """Step by step: each says what is missing still, the last one leaves nothing."""
    new_environment(here, "staging", NewEnvironment())
    assert {f.rule for f in here.worktree_spec().findings} == {"empty-environment"}
    new_service(here, "staging", "risk", NewService(IMAGE))
    assert {f.rule for f in here.worktree_spec().findings} == {"service-without-models"}
    new_model(here, "staging", "risk", NewModel())
    spec = here.worktree_spec()
    assert spec.findings == ()
    assert spec.environments["staging"].services["risk"].bundle.models[0].version == "3"
    assert here.subjects[:3] == ["Pin risk 3 in staging", "Add the service risk to staging", "Add the environment staging"]


def test_each_pin_that_was_added_can_be_reverted_alone(here):
    """The file is a block of its own: `git revert` of the older of two commits is clean."""
    new_model(here, "production", "risk", NewModel("wine"))
    added = here.head
    new_service(here, "production", "fraud", NewService(IMAGE))
    git(here.root, "revert", "--no-edit", added)
    assert not (here.root / "environments/production/models/risk.yaml").exists()
    assert (here.root / "environments/production/services/fraud.yaml").exists()


def test_a_new_model_keeps_the_manifest_in_the_ledger(here, tmp_path):
    """What the digest stands for, file by file."""
    new_model(here, "production", "risk", NewModel("wine", "1"))
    digest = pin_of("risk", "1", {**FILES, "model.bin": b"risk 1"}, tmp_path / "scratch").digest
    assert f"digest: {digest}" in here.read("environments/production/models/risk.yaml")
    assert [entry[0] for entry in here.ledger().manifest(digest)["files"]] == ["MLmodel", "model.bin"]


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_copied_environment_differs_in_its_names_only(here):
    """Comments, order, line ends and quoting are those of the file that was copied."""
    source = "environments/production/environment.yaml"
    here.write(source, here.read(source).replace("keep_warm: 10m", "keep_warm: 2h   # of ours").replace("\n", "\r\n"))
    here.commit()
    new_environment(here, "staging", NewEnvironment(like="production"))
    before = (here.root / source).read_bytes()
    wanted = before.replace(b"environment: production", b"environment: staging").replace(
        b"alias: production", b"alias: staging"
    )
    assert (here.root / STAGING).read_bytes() == wanted.replace(b":8080", b":8081")


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/var/lib/mlrelease/production", "/var/lib/mlrelease/staging"),
        ("/srv/models/", "/srv/models-staging"),
        ("/srv/production-models", "/srv/production-models-staging"),
    ],
    ids=["the name is a folder of the path", "the name is not in it", "the name is only a part of a folder's name"],
)
def test_a_copied_environment_gets_a_state_folder_of_its_own(here, folder, expected):
    """Two environments in one state folder would end each other's processes."""
    source = "environments/production/environment.yaml"
    here.write(source, here.read(source).replace("listen: 127.0.0.1:8080", f"listen: 127.0.0.1:8080\n  state_dir: {folder}"))
    here.commit()
    new_environment(here, "staging", NewEnvironment(like="production"))
    assert here.worktree_spec().environments["staging"].target.state_dir == expected


def test_an_environment_without_alias_is_copied_without(here):
    """What the copied one does not do, the copy does not either; asked for, the alias is added."""
    source = "environments/production/environment.yaml"
    lines = [line for line in here.read(source).splitlines() if not line.startswith("alias:")]
    here.write(source, "\n".join(lines) + "\n")
    here.commit()
    new_environment(here, "staging", NewEnvironment(like="production"))
    new_environment(here, "canary", NewEnvironment(like="production", alias="canary"))
    found = here.worktree_spec().environments
    assert (found["staging"].alias, found["canary"].alias) == ("", "canary")
    assert sorted(env.target.listen for env in found.values()) == ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082"]


def test_services_and_models_are_copied_too(here):
    """Of this environment or of another; the model's pin is MLflow's, the rest is the copied file's."""
    wine = "environments/production/models/wine.yaml"
    here.write(wine, here.read(wine) + "\ngolden:\n  rtol: 0.001  # looser\n")
    here.commit()
    new_environment(here, "staging", NewEnvironment())
    new_service(here, "staging", "fraud", NewService(replicas=5, like="production/wine"))
    new_model(here, "staging", "risk", NewModel(version="2", like="production/wine"))
    service = here.worktree_spec().environments["staging"].services["fraud"]
    original = here.worktree_spec().environments["production"].services["wine"]
    assert (service.replicas, service.image) == (5, original.image)
    assert (service.models[0].golden_rtol, service.models[0].pin.version) == (0.001, "2")
    assert "rtol: 0.001  # looser" in here.read("environments/staging/models/risk.yaml")


def test_replicas_are_added_where_the_copied_file_has_none(here):
    """A key that the copied file leaves to its default is written as a block of its own."""
    wine = "environments/production/services/wine.yaml"
    here.write(wine, here.read(wine).partition("\nreplicas")[0].rstrip("\n"))
    here.commit()
    new_service(here, "production", "fraud", NewService(replicas=3, like="wine"))
    assert here.read("environments/production/services/fraud.yaml").endswith("e\n\nreplicas: 3\n")


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD_NAMES = ["", ".", "..", "../up", "a/b", "/etc", "Prod", "a b", "-x", "a\nb", "ä", "x" * 64, "con:1", "a\0b", "${HOME}", "~"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_cannot_be_one_is_refused(here, name):
    """Names become folders and files: nothing is written anywhere, above all not outside of the repository."""
    before = here.everything
    for work in (
        lambda: new_environment(here, name, NewEnvironment()),
        lambda: new_service(here, "production", name, NewService(IMAGE)),
        lambda: new_service(here, name, "fraud", NewService(IMAGE)),
        lambda: new_model(here, name, "risk", NewModel("wine")),
        lambda: new_environment(here, "staging", NewEnvironment(like=name or "..")),
        lambda: new_service(here, "production", "fraud", NewService(like=name or "..")),
        lambda: new_service(here, "production", "fraud", NewService(like=f"{name}/../wine")),
    ):
        with pytest.raises(UsageError) as caught:
            work()
        assert caught.value.hint
    assert unchanged(here, before)


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name != "Prod"], ids=repr)
def test_a_model_name_that_cannot_be_a_file_name_is_refused(here, name):
    """Registered names may hold anything; file names, URLs and metric labels may not."""
    with pytest.raises(UsageError, match="model name cannot be used"):
        new_model(here, "production", name, NewModel("wine"))


@pytest.mark.parametrize(
    "image",
    [
        "ghcr.io/acme/serve",
        "ghcr.io/acme/serve:1.0",
        "ghcr.io/acme/serve:latest",
        f"ghcr.io/acme/serve@sha256:{'ab12' * 16}",
        "ghcr.io/acme/serve:1.0@sha256:abc",
        f"ghcr.io/acme/serve:1.0@sha256:{'AB12' * 16}",
        f"user:secret@ghcr.io/acme/serve:1.0@sha256:{'ab12' * 16}",
        "serve:1.0@sha256:" + "0" * 64 + "\n",
    ],
    ids=["bare", "tag only", "latest", "digest only", "short digest", "capital digest", "with a password", "line end"],
)
def test_an_image_needs_tag_and_digest(here, image):
    """A tag can move; the refusal never repeats what may hold a password."""
    before = here.everything
    with pytest.raises(UsageError, match="image") as caught:
        new_service(here, "production", "fraud", NewService(image))
    assert "secret" not in caught.value.message + caught.value.hint
    assert unchanged(here, before)


@pytest.mark.parametrize("version", ["latest", "01", "-1", "1.0", "champion", "8 ", "٣"])
def test_a_version_is_exact_or_left_out(here, version):
    """Aliases and stages move: they are no pins."""
    with pytest.raises(UsageError, match="not one exact MLflow version"):
        new_model(here, "production", "risk", NewModel("wine", version))


@pytest.mark.parametrize(
    ("work", "message", "hint"),
    [
        (lambda h: new_environment(h, "production", NewEnvironment()), "committed already", "validate"),
        (lambda h: new_service(h, "production", "wine", NewService(IMAGE)), "committed already", "validate"),
        (lambda h: new_model(h, "production", "wine", NewModel("wine")), "committed already", "validate"),
        (lambda h: new_service(h, "nowhere", "a", NewService(IMAGE)), "no environment 'nowhere'", "production"),
        (lambda h: new_service(h, "production", "a", NewService()), "which image", "--image"),
        (lambda h: new_service(h, "production", "a", NewService(like="b")), "no such file to copy", "there are: wine"),
        (lambda h: new_environment(h, "a", NewEnvironment(like="b")), "no such file to copy", "there are: production"),
        (lambda h: new_model(h, "production", "risk", NewModel("b")), "no service 'b'", "services there: wine"),
        (lambda h: new_model(h, "production", "risk", NewModel(version="9")), "no version 9", "newest first: 3, 2, 1"),
        (lambda h: new_model(h, "production", "none", NewModel()), "no registered model", "register_model"),
        (
            lambda h: new_environment(h, "a", NewEnvironment("127.0.0.1:8080")),
            "the listener takes the port of that in production",
            "port",
        ),
        (lambda h: new_environment(h, "a", NewEnvironment("8080")), "not an address to listen on", "one of the values"),
        (lambda h: new_environment(h, "a", NewEnvironment(tracking_uri="ftp://x")), "no address of an MLflow server", "write"),
        (lambda h: new_environment(h, "a", NewEnvironment(tracking_uri="http://u:pw@x")), "holds a password", "change the"),
        (
            lambda h: new_environment(h, "a", NewEnvironment(promotes_from="b")),
            "names no other environment",
            "name an existing",
        ),
        (
            lambda h: new_environment(h, "a", NewEnvironment(promotes_from="a")),
            "names no other environment",
            "name an existing",
        ),
    ],
    ids=[
        *("the environment exists", "the service exists", "the model exists", "the environment is unknown", "no image"),
        *("an unknown service to copy", "an unknown environment to copy", "an unknown service", "an unknown version"),
        *("a model that nobody registered", "a port that is taken", "a port without host", "an odd address"),
        *("a password in the address", "promotion from nowhere", "promotion from itself"),
    ],
)
def test_what_would_be_wrong_is_refused_before_a_byte_is_written(here, work, message, hint):
    """Each refusal says what to do; files and history are as before."""
    before = here.everything
    with pytest.raises(Error, match=message) as caught:
        work(here)
    assert hint in caught.value.hint
    assert "pw" not in caught.value.message
    assert unchanged(here, before)


def test_a_copy_listens_on_the_next_port_and_the_last_one_has_none(here):
    """Behind 65535 comes nothing: an address has to be named, which is no defect of ours."""
    path = "environments/production/environment.yaml"
    here.write(path, here.read(path).replace("127.0.0.1:8080", "127.0.0.1:65534"))
    here.commit()
    new_environment(here, "a", NewEnvironment(like="production"))
    assert "listen: 127.0.0.1:65535" in here.read("environments/a/environment.yaml")
    before = here.everything
    with pytest.raises(UsageError) as refused:
        new_environment(here, "b", NewEnvironment(like="a"))
    assert refused.value.message == "no port from 65535 on is free of another environment"
    assert refused.value.hint == "name an address: --listen HOST:PORT"
    assert unchanged(here, before)
    new_environment(here, "b", NewEnvironment("127.0.0.1:9000", like="a"))
    assert "listen: 127.0.0.1:9000" in here.read("environments/b/environment.yaml")


def test_the_same_alias_on_the_same_server_is_refused(here):
    """Two environments would write it in turn."""
    address = here.worktree_spec().environments["production"].tracking_uri
    with pytest.raises(Error, match="alias is written in the same MLflow server by production"):
        new_environment(here, "a", NewEnvironment(tracking_uri=address, alias="production"))


def test_findings_that_are_there_already_hinder_nobody(here):
    """A broken file elsewhere is its owner's business."""
    here.write("environments/broken/environment.yaml", "schema: 1\nenvironment: other\n")
    here.write("environments/production/models/bad.yaml", "schema: 1\nservice: nowhere\n")
    here.commit()
    before = set(here.worktree_spec().findings)
    new_environment(here, "staging", NewEnvironment())
    new_service(here, "production", "fraud", NewService(IMAGE))
    assert {f.rule for f in set(here.worktree_spec().findings) - before} <= {
        *("empty-environment", "unknown-service", "service-without-models")
    }
    assert here.subjects[:2] == ["Add the service fraud to production", "Add the environment staging"]


def test_an_environment_that_is_to_be_removed_gets_no_new_file(here):
    """`state: absent` means that it goes away."""
    source = "environments/production/environment.yaml"
    here.write(source, here.read(source) + "state: absent\n")
    here.commit()
    for work in (
        lambda: new_service(here, "production", "fraud", NewService(IMAGE)),
        lambda: new_environment(here, "staging", NewEnvironment(like="production")),
    ):
        with pytest.raises(UsageError, match="state: absent"):
            work()


# -- broken worlds -----------------------------------------------------------------------------------------------------


def test_without_mlflow_no_model_is_written(here):
    """A digest that nobody computed is never put into a file."""
    here.fake.down = True
    before = here.everything
    with pytest.raises(UnavailableError, match="did not answer"):
        new_model(here, "production", "risk", NewModel("wine"))
    assert unchanged(here, before)
    new_environment(here, "staging", NewEnvironment())
    new_service(here, "staging", "risk", NewService(IMAGE))


def test_without_a_name_for_commits_nothing_is_written(here, tmp_path, monkeypatch):
    """The error says how to set it; --no-commit still writes."""
    (tmp_path / "nobody").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    before = here.everything
    with pytest.raises(Error, match="does not know who commits"):
        new_environment(here, "staging", NewEnvironment())
    assert unchanged(here, before)
    new_environment(here, "staging", NewEnvironment(commit=False))
    assert (here.root / STAGING).stat().st_mode & 0o077


def test_a_hook_that_says_no_leaves_nothing(here):
    """The file goes when the commit is refused."""
    hook = here.root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Error, match="no"):
        new_service(here, "production", "fraud", NewService(IMAGE))
    assert here.status == ""
    assert not (here.root / "environments/production/services/fraud.yaml").exists()


def test_other_edits_stay_as_they_are(here):
    """Staged or not, what else is in the work tree is not committed along."""
    here.write("README.md", "edited\n")
    here.write("staged.txt", "staged\n")
    git(here.root, "add", "staged.txt")
    new_environment(here, "staging", NewEnvironment())
    assert git(here.root, "show", "--name-only", "--format=", "HEAD").splitlines() == [DEPLOY, RECORD, STAGING]
    assert sorted(here.status.split("\n")) == ["A  staged.txt", "M README.md"]


@pytest.mark.parametrize("there", ["file", "link", "dangling link", "folder"])
def test_nothing_in_the_way_is_overwritten_or_followed(here, there, tmp_path):
    """A link could lead out of the repository."""
    place = here.root / STAGING
    place.parent.mkdir()
    outside = tmp_path / "outside.yaml"
    if there == "file":
        place.write_text("mine\n")
    elif there == "folder":
        place.mkdir()
    else:
        place.symlink_to(outside)
        if there == "link":
            outside.write_text("outside\n")
    for commit in (True, False):
        with pytest.raises(Error):
            new_environment(here, "staging", NewEnvironment(commit=commit))
    assert not outside.exists() or outside.read_text() == "outside\n"
    assert there != "file" or place.read_text() == "mine\n"


def test_a_folder_that_is_a_link_is_not_written_through(here, tmp_path):
    """The environment's folder itself may be the link."""
    (tmp_path / "elsewhere").mkdir()
    (here.root / "environments/staging").symlink_to(tmp_path / "elsewhere")
    for commit in (True, False):
        with pytest.raises(UsageError, match="is a link"):
            new_environment(here, "staging", NewEnvironment(commit=commit))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_where_a_folder_should_be_is_an_error(here):
    """Said before anything is tried."""
    here.write("environments/staging", "a file\n")
    with pytest.raises(Error, match="is no folder"):
        new_environment(here, "staging", NewEnvironment(commit=False))


def test_a_file_removed_but_not_committed_is_not_made_anew(here):
    """Its history would be continued by accident."""
    (here.root / "environments/production/models/wine.yaml").unlink()
    with pytest.raises(UsageError, match="committed already"):
        new_model(here, "production", "wine", NewModel("wine", "1"))


def test_what_a_killed_run_left_is_gone_on_with(here):
    """The same verb again commits the very bytes that were written before the kill."""
    new_environment(here, "staging", NewEnvironment(commit=False))
    written = here.read(STAGING)
    report = new_environment(here, "staging", NewEnvironment())
    assert "committed as" in report.verdict
    assert (here.read(STAGING), here.status) == (written, "")


def test_a_rejected_version_does_not_come_in_by_a_new_file(here, tmp_path):
    """Exit 5, nothing written; another version may."""
    digest = pin_of("risk", "3", {**FILES, "model.bin": b"risk 3"}, tmp_path / "scratch").digest
    words = {"service": "wine", "components": ((model_key("risk"), str(digest)),)}
    here.ledger().append([Rejected(here.new_id(), "production", 1.0, "ann", "biased", **words)])
    before = here.everything
    report = new_model(here, "production", "risk", NewModel("wine"))
    assert (report.exit_code, report.verdict) == (
        5,
        "risk 3 was rejected in production by ann: biased: nothing was written",
    )
    assert unchanged(here, before)
    assert new_model(here, "production", "risk", NewModel("wine", "2")).exit_code == 0


def _with_loader(loader):
    info = f"flavors:\n  python_function:\n    loader_module: {loader}\nsaved_input_example_info:\n  serving_input_path: e\n"
    return {"MLmodel": info.encode(), "e": b'{"inputs": [[1]]}'}


def test_a_model_that_does_not_load_is_refused(here):
    """A version with an example is loaded in isolation first, as `bump` does."""
    here.fake.add("bad", "1", _with_loader("mlflow.sklearn"))
    before = here.everything
    with pytest.raises(Error, match="bad 1 does not load and predict"):
        new_model(here, "production", "bad", NewModel("wine"))
    assert unchanged(here, before)


def test_a_model_that_would_import_what_is_not_allowed_is_not_even_loaded(here):
    """Exit 5, nothing written."""
    here.fake.add("bad", "1", _with_loader("no_such"))
    before = here.everything
    report = new_model(here, "production", "bad", NewModel("wine"))
    assert report.exit_code == 5
    assert "bad 1 was not loaded" in report.verdict
    assert unchanged(here, before)


@settings(max_examples=60, deadline=None)
@given(
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    port=st.integers(1, 65535),
    # MLflow keeps `latest`, `8` and `v8` for itself
    alias=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
        lambda a: not a.lower().strip("v").isdigit()
    ),
)
def test_the_text_says_what_was_asked_for_whatever_it_is(name, port, alias):
    """Names that YAML would read as numbers, booleans or null come back as the same text."""
    from mlrelease.commands.forms import environment_text, model_text, service_text
    from mlrelease.model.bundle import ModelPin
    from mlrelease.model.spec import SourceFile

    base = f"environments/{name}"
    address = {"tracking_uri": "http://mlflow:5000", "target.listen": f"127.0.0.1:{port}", "alias": alias}
    pin = ModelPin(alias, "7", f"sha256:{'cd34' * 16}")
    files = {
        f"{base}/environment.yaml": environment_text(name, address),
        f"{base}/services/{name}.yaml": service_text(name, image=IMAGE, replicas=4),
        f"{base}/models/{alias}.yaml": model_text(name, pin),
    }
    spec = load({path: SourceFile(data) for path, data in files.items()})
    assert spec.findings == ()
    environment = spec.environments[name]
    assert (environment.alias, environment.target.listen) == (alias, f"127.0.0.1:{port}")
    assert environment.services[name].bundle.models == (pin,)


def test_the_program_takes_the_options(tmp_path):
    """From the shell: usage errors are 2, the file is there, JSON is JSON."""
    made = newcomer(tmp_path)

    def run(*words):
        command = [sys.executable, "-m", "mlrelease.cli", "-C", str(made.root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run("new", "environment", "staging", "--approval", "maybe").returncode == 2
    assert run("new", "environment", "../x").returncode == 2
    done = run("-o", "json", "new", "environment", "staging", "--like", "production", "--approval", "required")
    assert (done.returncode, '"schema": 1' in done.stdout) == (0, True)
    assert "approval: required" in made.read(STAGING)
    done = run("new", "service", "staging", "a", "--image", IMAGE, "--no-commit")
    assert (done.returncode, made.status) == (0, "?? environments/staging/services/")


def test_two_desks_of_one_repository_do_not_mix(here):
    """The workspace is a value: a copy with another actor is the same repository."""
    other = replace(here, actor="Other")
    new_environment(other, "staging", NewEnvironment())
    assert here.head == other.head
