"""`bump`: one pin as ever, many in one go, each in a commit that can be taken back alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.commands.bump import BumpOptions, bump
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import model_key
from mlrelease.model.event import Rejected
from support.newcomer import as_json, golden, newcomer, text
from support.repositories import git

ENV = "production"
MODELS = ("port", "risk", "wine")
SERVICE = """\
schema: 1
service: {name}

image: {image}
"""
MODEL = """\
schema: 1
service: {service}  # who answers
model: {name}

version: "1"
digest: sha256:{digest}
"""


def files(name, version):
    """A version without an input example: nothing has to be loaded."""
    return {"MLmodel": b"flavors: {}\n", "model.bin": f"{name} {version}".encode()}


@pytest.fixture
def here(tmp_path):
    """Two services: `cellar` with `port` and `wine`, `desk` with `risk`; three versions of each are registered."""
    made = newcomer(tmp_path)
    image = next(
        line.split()[1] for line in made.read("environments/production/services/wine.yaml").splitlines() if "image:" in line
    )
    git(made.root, "rm", "-r", "--quiet", "environments/production/services", "environments/production/models")
    for service, models in (("cellar", ("port", "wine")), ("desk", ("risk",))):
        made.write(f"environments/production/services/{service}.yaml", SERVICE.format(name=service, image=image))
        for name in models:
            digest = name.encode().hex().ljust(64, "a")
            made.write(f"environments/production/models/{name}.yaml", MODEL.format(service=service, name=name, digest=digest))
    for name in MODELS:
        for version in ("1", "2", "3"):
            made.fake.add(name, version, files(name, version))
    made.commit("Three models")
    return made


def versions(here):
    """The pinned versions by model."""
    services = here.worktree_spec().environments[ENV].services.values()
    return {model.name: model.pin.version for service in services for model in service.models}


def test_many_pins_are_this_report(here, capsys, update_golden):
    """A row for each pin, what is the same of many said once, the next command."""
    golden("bump/many.txt", text(bump(here, ENV, MODELS, BumpOptions("2")), capsys), update=update_golden)


def test_each_pin_has_a_commit_of_its_own(here):
    """Which names it, and touches its file alone."""
    bump(here, ENV, MODELS, BumpOptions("2"))
    assert here.subjects[:4] == [
        "Pin wine 2 in production",
        "Pin risk 2 in production",
        "Pin port 2 in production",
        "Three models",
    ]
    for depth, name in enumerate(reversed(MODELS)):
        changed = git(here.root, "show", "--format=", "--name-only", f"HEAD~{depth}")
        assert changed == f"environments/production/models/{name}.yaml"
    assert here.status == ""


def test_any_of_them_can_be_reverted_alone(here):
    """The oldest of the three, with the other two on top."""
    bump(here, ENV, MODELS, BumpOptions("2"))
    git(here.root, "revert", "--no-edit", "HEAD~2")
    assert versions(here) == {"port": "1", "risk": "2", "wine": "2"}


@pytest.mark.parametrize(
    ("names", "services", "moved"),
    [
        (("wine",), (), {"wine"}),
        (("wine", "wine"), (), {"wine"}),
        ((), ("cellar",), {"port", "wine"}),
        ((), ("cellar", "desk"), {"port", "risk", "wine"}),
        (("risk", "wine"), ("cellar",), {"port", "risk", "wine"}),
    ],
    ids=["a model", "a model twice", "a service", "two services", "models and a service"],
)
def test_what_is_named_moves(here, names, services, moved):
    """Models, all models of services, or both; each once."""
    bump(here, ENV, names, BumpOptions("3", services=services))
    assert {name for name, version in versions(here).items() if version == "3"} == moved
    assert len(here.subjects) == len(moved) + 2


def test_without_a_version_each_gets_its_newest(here):
    """The newest may be another one for each."""
    here.fake.add("risk", "7", files("risk", "7"))
    bump(here, ENV, MODELS, BumpOptions())
    assert versions(here) == {"port": "3", "risk": "7", "wine": "3"}


@pytest.mark.parametrize(
    ("names", "services", "said"),
    [((), (), "which model"), ((), ("attic",), "no valid service 'attic'"), (("beer",), (), "no model 'beer'")],
    ids=["nothing", "an unknown service", "an unknown model"],
)
def test_what_is_not_there_is_refused_before_anything_is_asked(here, names, services, said):
    """With what there is."""
    before = here.everything
    with pytest.raises(Error, match=said) as raised:
        bump(here, ENV, names, BumpOptions("2", services=services))
    assert raised.value.hint
    assert here.everything == before
    assert here.fake.described == []


def test_nothing_named_is_a_mistake_in_the_command_line(here):
    """As for an unknown service: exit code 2, not 1."""
    with pytest.raises(UsageError):
        bump(here, ENV, (), BumpOptions())


def test_what_is_pinned_already_is_left_alone(here):
    """A second run of the same command changes nothing and says so, with exit code 0."""
    bump(here, ENV, MODELS, BumpOptions("2"))
    before = here.everything
    report = bump(here, ENV, MODELS, BumpOptions("2"))
    assert (report.exit_code, report.verdict) == (0, "production: 0 of 3 pins moved")
    assert {row[2] for row in report.rows} == {"already pinned: nothing to do"}
    assert here.everything == before


def test_one_that_is_missing_holds_none_of_the_others_up(here, capsys, update_golden):
    """It gets its line, the others their commits, and the exit code is 1."""
    here.fake.delete("risk", "2")
    report = bump(here, ENV, MODELS, BumpOptions("2"))
    golden("bump/one-missing.txt", text(report, capsys), update=update_golden)
    assert versions(here) == {"port": "2", "risk": "1", "wine": "2"}


def test_of_one_model_what_is_missing_is_an_error(here):
    """There is nothing else to go on with."""
    here.fake.delete("risk", "2")
    with pytest.raises(Error, match="risk has no version 2") as raised:
        bump(here, ENV, ("risk",), BumpOptions("2"))
    assert raised.value.hint == "versions there, newest first: 3, 1"


def test_a_registry_that_does_not_answer_ends_it_at_once(here):
    """Not a line per model, each after a deadline of its own."""
    here.fake.down = True
    before = here.everything
    with pytest.raises(UnavailableError):
        bump(here, ENV, MODELS, BumpOptions("2"))
    assert here.everything == before


def reject(here, name, version):
    """A person says no to a version, by the digest that it has."""
    from mlrelease.commands.workspace import cache_folder
    from mlrelease.registries.cache import ArtifactCache

    digest, _ = ArtifactCache(cache_folder(here.variables)).fetch(here.fake.facts[name, version], here.fake)
    service = "desk" if name == "risk" else "cellar"
    event = Rejected("01J00000000000000000000000", ENV, 1.0, "Ada", "wrong", service, ((model_key(name), str(digest)),))
    here.ledger().append([event])


def test_one_that_was_rejected_is_refused_and_the_others_move(here, capsys, update_golden):
    """Exit code 5, who said no and why, and how to lift it."""
    reject(here, "risk", "2")
    report = bump(here, ENV, MODELS, BumpOptions("2"))
    golden("bump/one-rejected.txt", text(report, capsys), update=update_golden)
    assert versions(here) == {"port": "2", "risk": "1", "wine": "2"}


def test_the_worst_exit_code_wins(here):
    """Errored is worse than refused: 1 before 5 before 0."""
    reject(here, "risk", "2")
    here.fake.delete("wine", "2")
    report = bump(here, ENV, MODELS, BumpOptions("2"))
    assert (report.exit_code, report.verdict) == (1, "production: 1 of 3 pins moved, 1 refused, 1 errored")


def test_without_a_commit_all_files_are_edited(here):
    """And only their pins: comments stay."""
    head = here.head
    report = bump(here, ENV, MODELS, BumpOptions("2", commit=False))
    assert here.head == head
    assert versions(here) == dict.fromkeys(MODELS, "2")
    assert all("# who answers" in here.read(f"environments/production/models/{name}.yaml") for name in MODELS)
    assert {row[2] for row in report.rows} == {"edited, not committed"}


def test_manifests_of_all_are_kept_in_few_commits_of_the_ledger(here):
    """What each digest stands for, file by file: the registry may lose it."""
    bump(here, ENV, MODELS, BumpOptions("2"))
    for service in here.worktree_spec().environments[ENV].services.values():
        for model in service.models:
            assert [path for path, _, _ in here.ledger().manifest(model.pin.digest)["files"]] == ["MLmodel", "model.bin"]
    assert len(git(here.root, "log", "--format=%H", "refs/heads/mlrelease/ledger").splitlines()) <= 2


def test_pushed_together(tmp_path):
    """One push for all commits."""
    made = newcomer(tmp_path, remote=True)
    made.fake.add("wine", "2", files("wine", "2"))
    report = bump(made, ENV, ("wine",), BumpOptions("2", push=True))
    assert "and pushed" in report.verdict
    assert git(tmp_path / "origin.git", "log", "-1", "--format=%s", "main") == "Pin wine 2 in production"


def test_the_push_that_is_named_pushes_the_commit(tmp_path):
    """From a branch of one's own that branch, from a detached checkout what is checked out: `main` has not the commit."""
    made = newcomer(tmp_path, remote=True)
    for version in "23":
        made.fake.add("wine", version, files("wine", version))
    git(made.root, "switch", "--quiet", "-c", "work")
    assert bump(made, ENV, ("wine",), BumpOptions("2")).next == "git push origin work"
    git(made.root, "switch", "--quiet", "--detach")
    command = bump(made, ENV, ("wine",), BumpOptions("3")).next
    assert command == "git push origin HEAD:main"
    git(made.root, *command.split()[1:])
    assert git(tmp_path / "origin.git", "log", "-1", "--format=%s", "main") == "Pin wine 3 in production"


def test_json_has_a_key_per_pin(here, capsys):
    """Before, after, what came of it, and its own exit code."""
    reject(here, "risk", "2")
    found = as_json(bump(here, ENV, MODELS, BumpOptions("2")), capsys)
    assert [(m["model"], m["before"]["version"], m["after"]["version"], m["exit_code"]) for m in found["models"]] == [
        ("port", "1", "2", 0),
        ("risk", "1", "2", 5),
        ("wine", "1", "2", 0),
    ]
    assert (found["environment"], found["exit_code"]) == (ENV, 5)


def test_json_of_one_pin_is_as_it_was(here, capsys):
    """Programs that bump one model read the keys that they always read."""
    found = as_json(bump(here, ENV, ("wine",), BumpOptions("2")), capsys)
    assert {"environment", "model", "before", "after"} <= found.keys()
    assert (found["model"], found["after"]["version"]) == ("wine", "2")


EXAMPLE = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode()
MLMODEL = b"""\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: gone.skops
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: dataframe
"""


def test_one_that_does_not_load_is_a_line_of_its_own(here):
    """Tried in real isolated processes: the file that it loads is missing, and the others move."""
    here.fake.add("risk", "2", files("risk", "2") | {"MLmodel": MLMODEL, "serving_input_example.json": EXAMPLE})
    report = bump(here, ENV, MODELS, BumpOptions("2"))
    assert (report.exit_code, report.verdict) == (1, "production: 2 of 3 pins moved, 1 errored")
    assert versions(here) == {"port": "2", "risk": "1", "wine": "2"}
    assert any(row[0] == "risk" and "does not load and predict" in row[2] for row in report.rows)


@pytest.mark.parametrize("names", [("risk",), MODELS], ids=["alone", "among others, which move"])
def test_one_that_must_not_be_loaded_is_refused_unloaded(here, names, tmp_path):
    """A pickle that would run a command: exit code 5, and no trace of it."""
    from mlrelease.demo.models.hostile import poison

    hostile = {"MLmodel": MLMODEL.replace(b"gone.skops", b"model.pkl"), "model.pkl": poison(tmp_path / "trace")}
    here.fake.add("risk", "2", hostile | {"serving_input_example.json": EXAMPLE})
    report = bump(here, ENV, names, BumpOptions("2"))
    assert report.exit_code == 5
    assert "system" in report.verdict + "".join(row[2] for row in report.rows)
    assert versions(here) == {name: "2" if name in names and name != "risk" else "1" for name in MODELS}
    assert not (tmp_path / "trace").exists()


def test_a_stale_checkout_of_another_service_does_not_matter(here):
    """A finding in another service's file stops neither."""
    here.write("environments/production/services/desk.yaml", "schema: 1\nservice: desk\nnonsense: true\n")
    here.commit("Break the desk")
    assert bump(here, ENV, ("port", "wine"), BumpOptions("2")).exit_code == 0
    assert {replace(m.pin, digest="").version for m in here.worktree_spec().environments[ENV].services["cellar"].models} == {
        "2"
    }
