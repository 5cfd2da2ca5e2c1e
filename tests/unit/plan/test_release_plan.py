"""Which version comes next, and what moved between two states of the files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.history.fold import History
from mlrelease.model.bundle import IMAGE, Digest, ImagePin, ModelPin, model_key
from mlrelease.model.gate import GateSpec
from mlrelease.model.release import Entry, Level, Section, Version
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, State, TargetKind, TargetSpec
from mlrelease.plan.release_changes import pin_changes
from mlrelease.plan.release_version import FIRST, farthest, next_version

FIX = Entry(Section.FIXED, "x", Level.PATCH)
NEW = Entry(Section.ADDED, "x", Level.MINOR)
GONE = Entry(Section.REMOVED, "x", Level.MAJOR)


def v(text):
    return Version.parse(text)


@pytest.mark.parametrize(
    ("asked", "written", "last", "entries", "expected"),
    [
        ("auto", None, None, [NEW], "0.1.0"),
        ("auto", "0.0.0", None, [NEW], "0.1.0"),
        ("auto", "1.4.2", None, [GONE], "1.4.2"),
        ("minor", None, None, [NEW], "0.1.0"),
        ("patch", None, None, [NEW], "0.0.1"),
        ("minor", "1.4.2", None, [NEW], "1.5.0"),
        ("auto", "1.4.2", "1.4.2", [FIX], "1.4.3"),
        ("auto", "1.4.2", "1.4.2", [FIX, NEW], "1.5.0"),
        ("auto", "1.4.2", "1.4.2", [GONE, FIX], "2.0.0"),
        ("auto", "0.4.2", "0.4.2", [GONE, FIX], "0.5.0"),
        ("patch", "1.4.2", "1.4.2", [GONE], "1.4.3"),
        ("major", "1.4.2", "1.4.2", [FIX], "2.0.0"),
        ("minor", "9.9.9", "1.4.2", [FIX], "1.5.0"),
    ],
    ids=[
        "a first release without VERSION is 0.1.0",
        "0.0.0 is as good as none",
        "a first release takes VERSION as it stands",
        "a first minor from nothing",
        "a first patch from nothing",
        "a level that is said raises VERSION also the first time",
        "a fix is a patch",
        "the farthest decides",
        "what is gone is major",
        "but minor before 1.0.0",
        "a level that is said is taken, however little",
        "or however much",
        "the tag counts, not what VERSION says meanwhile",
    ],
)
def test_the_next_version(asked, written, last, entries, expected):
    """One table."""
    assert str(next_version(Level(asked), v(written) if written else None, v(last) if last else None, entries)) == expected


def test_without_any_entry_the_farthest_is_a_patch():
    """Nothing asks for more."""
    assert farthest([]) is Level.PATCH
    assert str(FIRST) == "0.1.0"


# -- what moved --------------------------------------------------------------------------------------------------------


def image(tag="0.1.0", repository="ghcr.io/acme/serve", digit="a"):
    return ImagePin(f"{repository}:{tag}@sha256:{digit * 64}")


def pin(name, version):
    return ModelPin(name, version, Digest(f"sha256:{int(version):064x}"))


def service(name="wine", *, models=(("wine", "1"),), gates=(), env=(), state=State.PRESENT, **changes):
    specs = tuple(ModelSpec(f"{m}.yaml", m, name, pin(m, version), tuple(gates)) for m, version in models)
    one = ServiceSpec(f"{name}.yaml", name, image(), specs, env=tuple(env), state=state)
    return replace(one, **changes)


def environment(*services, state=State.PRESENT):
    target = TargetSpec(TargetKind.LOCAL, "127.0.0.1:8080")
    return EnvironmentSpec("production", "x", "http://x", target, services={s.name: s for s in services}, state=state)


def lines(before, after, *, history=None, metrics=None):
    return [
        (str(e.section), e.text, str(e.level))
        for e in pin_changes(before, after, history or History("production"), metrics or {})
    ]


def test_equal_files_say_nothing():
    """Replicas, gates and comments are no pins."""
    assert lines(environment(service()), environment(service(replicas=5))) == []


def test_a_model_that_moved():
    """Old and new version, and where."""
    after = environment(service(models=[("wine", "2")]))
    assert lines(environment(service()), after) == [("Changed", "wine 1 → 2 in production", "minor")]


def test_the_same_bytes_under_another_number_are_no_change():
    """The digest decides."""
    same = service()
    renumbered = replace(same, models=(replace(same.models[0], pin=replace(same.models[0].pin, version="7")),))
    assert lines(environment(same), environment(renumbered)) == []


def test_a_model_that_went_back_is_a_patch():
    """Verified here earlier than what it replaces."""
    first = {
        ("wine", model_key("wine"), str(pin("wine", "1").digest)): 1,
        ("wine", model_key("wine"), str(pin("wine", "2").digest)): 2,
    }
    history = History("production", first_verified=first)
    before = environment(service(models=[("wine", "2")]))
    assert lines(before, environment(service()), history=history) == [("Changed", "wine 2 → 1 in production", "patch")]


def test_an_image_that_went_back_is_a_patch():
    """The same for images."""
    old, new = image("0.1.0"), image("0.2.0", digit="b")
    first = {("wine", IMAGE, str(old.digest)): 1, ("wine", IMAGE, str(new.digest)): 2}
    history = History("production", first_verified=first)
    found = lines(environment(service(image=new)), environment(service(image=old)), history=history)
    assert found == [("Changed", "Image of wine: ghcr.io/acme/serve 0.2.0 → 0.1.0 in production", "patch")]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (image("0.2.0", digit="b"), "ghcr.io/acme/serve 0.1.0 → 0.2.0"),
        (image("0.1.0", digit="b"), "ghcr.io/acme/serve:0.1.0 aaaaaaa → bbbbbbb"),
        (image("0.1.0", "ghcr.io/acme/other", "b"), "ghcr.io/acme/serve:0.1.0 → ghcr.io/acme/other:0.1.0"),
    ],
    ids=["another tag", "the same tag, other bytes", "another repository"],
)
def test_an_image_that_moved(new, said):
    """As short as tells them apart."""
    assert lines(environment(service()), environment(service(image=new))) == [
        ("Changed", f"Image of wine: {said} in production", "minor")
    ]


def test_another_tag_of_the_same_image_is_no_change():
    """The digest decides."""
    assert lines(environment(service()), environment(service(image=image("latest-ish")))) == []


def test_models_and_services_that_come_and_go():
    """What is gone is major, what is new is minor; one line each, services in order."""
    before = environment(service("a", models=[("a", "1"), ("old", "3")]), service("gone", models=[("gone", "1")]))
    after = environment(service("a", models=[("a", "1"), ("new", "4")]), service("z", models=[("z", "1")]))
    assert lines(before, after) == [
        ("Added", "new 4 in production", "minor"),
        ("Removed", "old 3 is gone from production", "major"),
        ("Removed", "The service gone is gone from production", "major"),
        ("Added", "The service z in production, image ghcr.io/acme/serve:0.1.0", "minor"),
        ("Added", "z 1 in production", "minor"),
    ]


@pytest.mark.parametrize(
    "after",
    [environment(service(state=State.ABSENT)), environment(service(), state=State.ABSENT), environment()],
    ids=["the service says absent", "the environment says absent", "no file any more"],
)
def test_absent_is_gone(after):
    """However it is said."""
    assert lines(environment(service()), after) == [("Removed", "The service wine is gone from production", "major")]


def test_from_nothing_everything_is_new():
    """A first release."""
    assert [line[1] for line in lines(None, environment(service()))] == [
        "The service wine in production, image ghcr.io/acme/serve:0.1.0",
        "wine 1 in production",
    ]


def test_settings_are_named_and_never_shown():
    """A value may be a secret's reference, or a secret."""
    before = environment(service(env=[("THREADS", "1"), ("TOKEN", "${A}")]))
    after = environment(service(env=[("THREADS", "2"), ("TOKEN", "${A}"), ("NEW", "hunter2")]))
    found = lines(before, after)
    assert found == [("Changed", "Settings of wine in production: NEW, THREADS", "patch")]
    assert "hunter2" not in str(found)


GATED = (GateSpec("metric", {"metric": "rmse", "max": 80}), GateSpec("exists"), GateSpec("metric", {"metric": "mae", "max": 8}))


@pytest.mark.parametrize(
    ("gates", "old", "new", "said"),
    [
        (GATED, {"rmse": 71.2, "mae": 5, "r2": 0.5}, {"rmse": 68.9, "mae": 4, "r2": 0.6}, " (rmse 71.2 → 68.9, mae 5 → 4)"),
        (GATED, {"mae": 5}, {"rmse": 68.9}, " (rmse 68.9)"),
        (GATED, {}, {}, ""),
        ((), {"d": 1, "c": 1, "b": 1, "a": 1}, {"a": 2, "b": 2, "c": 2, "d": 2}, " (a 1 → 2, b 1 → 2, c 1 → 2)"),
        ((), {"a": 1}, {"b": 2}, ""),
        ((), {"a": float("nan")}, {"a": float("inf")}, " (a nan → inf)"),
        ((), {"a": 0.123456789}, {"a": 123456789.0}, " (a 0.1235 → 1.235e+08)"),
    ],
    ids=[
        "those that gates name, in the gates' order",
        "only new where the old is not known",
        "none",
        "without gates the first three that both have",
        "none in common",
        "no number is said as it is",
        "four digits are enough",
    ],
)
def test_the_metrics_behind_a_model(gates, old, new, said):
    """What a reader of a changelog wants to know."""
    metrics = {pin("wine", "1"): old, pin("wine", "2"): new}
    found = lines(environment(service(gates=gates)), environment(service(models=[("wine", "2")], gates=gates)), metrics=metrics)
    assert found == [("Changed", f"wine 1 → 2 in production{said}", "minor")]


# -- odd files, and figures of several models --------------------------------------------------------------------------


def test_a_model_is_told_with_the_metrics_of_its_own_gates():
    """Two models of one service, gated by different metrics; a gate of another kind names none."""

    def both(version):
        pins = [(name, version) for name in ("a", "b")]
        one = service(models=pins)
        gates = {
            "a": (GateSpec("metric", {"metric": "rmse"}),),
            "b": (GateSpec("size", {"metric": "bytes"}), GateSpec("metric")),
        }
        return environment(replace(one, models=tuple(replace(m, gates=gates[m.name]) for m in one.models)))

    figures = {"rmse": 1.0, "mae": 2.0, "bytes": 3.0}
    metrics = {pin(name, version): figures for name in ("a", "b") for version in "12"}
    assert [text for _, text, _ in lines(both("1"), both("2"), metrics=metrics)] == [
        "a 1 → 2 in production (rmse 1 → 1)",
        "b 1 → 2 in production (bytes 3 → 3, mae 2 → 2, rmse 1 → 1)",
    ]


def test_a_model_that_comes_shows_its_first_metrics_by_name():
    """There is nothing to compare them with."""
    after = environment(service(models=[("wine", "1"), ("port", "2")]))
    found = lines(environment(service()), after, metrics={pin("port", "2"): {"z": 1, "a": 2, "m": 3, "b": 4}})
    assert found == [("Added", "port 2 in production (a 2, b 4, m 3)", "minor")]


def test_settings_are_named_in_order_and_counted_once():
    """One that changes its value and one that goes; four names come sorted."""
    before = environment(service(env=[("D", "1"), ("B", "1"), ("C", "1")]))
    after = environment(service(env=[("A", "1"), ("D", "2"), ("B", "1")]))
    assert lines(before, after) == [("Changed", "Settings of wine in production: A, C, D", "patch")]


def test_an_environment_that_could_be_read_neither_then_nor_now_says_nothing():
    """It is a problem of the release, said elsewhere."""
    assert lines(None, None) == []


def test_an_environment_that_is_gone_names_itself():
    """Its services are gone from there."""
    assert lines(environment(service("b"), service("a")), None) == [
        ("Removed", "The service a is gone from production", "major"),
        ("Removed", "The service b is gone from production", "major"),
    ]
