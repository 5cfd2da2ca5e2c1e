"""From a registered version to a pin: which is found, what is kept of it in the ledger, and what was said no to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.commands.versions import (
    IN_LEDGER,
    NO_EXAMPLE,
    Loadable,
    check_alias,
    find_version,
    keep_golden,
    keep_goldens,
    leave_to_host,
    listed,
    refused,
)
from mlrelease.delivery.admission import Admitted
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.registries.digest import manifest
from support.core import bundle, digest, model
from support.fake_registry import FakeRegistry, pin_of
from support.pair import identity
from support.receipts import Ledger as Told
from support.repositories import bare_with_clones, ledger

pytestmark = pytest.mark.xdist_group("versions")


# -- which version -----------------------------------------------------------------------------------------------------


@pytest.fixture
def registry():
    """Twelve versions of `wine`, one of `beer`."""
    made = FakeRegistry()
    for number in range(1, 13):
        made.add("wine", str(number), {})
    made.add("beer", "1", {})
    return made


@pytest.mark.parametrize(("asked", "found"), [("", "12"), ("3", "3"), ("12", "12")], ids=["the newest", "one", "by name"])
def test_the_version_asked_for_or_the_newest(registry, asked, found):
    """By number, and not by text: 12 is newer than 9."""
    assert find_version(registry, "wine", asked).version == found


@pytest.mark.parametrize(
    ("name", "version", "message", "hint"),
    [
        ("rum", "", "there is no registered model 'rum' at http://fake", "mlflow.register_model registers one"),
        ("rum", "1", "rum has no version 1 at http://fake", "versions there, newest first: none"),
        ("beer", "2", "beer has no version 2 at http://fake", "versions there, newest first: 1"),
        (
            "wine", "13", "wine has no version 13 at http://fake",
            "versions there, newest first: 12, 11, 10, 9, 8, 7, 6, 5, 4, 3",
        ),
    ],
    ids=["no such model", "a version of no model", "another version", "more than ten"],
)  # fmt: skip
def test_a_version_that_is_not_there_is_an_error_that_names_those_that_are(registry, name, version, message, hint):
    """Ten are enough."""
    with pytest.raises(Error) as missing:
        find_version(registry, name, version)
    assert (missing.value.message, missing.value.hint) == (message, hint)


def test_a_registry_that_is_away_is_no_missing_version(registry):
    """Later may be better."""
    registry.down = True
    for version in ("", "1"):
        with pytest.raises(UnavailableError):
            find_version(registry, "wine", version)


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A ledger with a remote, and three versions' folders without an input example, with their pins."""
    with identity():
        folder = tmp_path_factory.mktemp("versions")
        bare, clone = bare_with_clones(folder, "clone")
        pins = {}
        for version in "1234":
            place = folder / f"wine-{version}"
            pin = pin_of("wine", version, {"MLmodel": b"flavors: {}\n", "m": version.encode()}, place)
            pins[version] = Loadable(pin, Admitted(place))
        yield bare, ledger(clone), pins


def stored(kept, pin):
    return kept[1].manifest(pin.digest)


def test_a_version_without_an_example_keeps_its_manifest(kept, capsys):
    """File by file, once; what is missing is said with what brings it."""
    pin, path = kept[2]["1"].pin, kept[2]["1"].path
    assert keep_golden(kept[1], kept[2]["1"]) == NO_EXAMPLE
    assert capsys.readouterr().err == "wine 1: computing golden predictions in an isolated process\n"
    expected = [[file.path, file.size, file.sha256] for file in manifest(path)]
    assert stored(kept, pin) == {"schema": 1, "digest": pin.digest, "files": expected}


def test_golden_predictions_that_are_there_are_not_computed_again(kept, capsys):
    """Nothing is loaded, nothing written."""
    pin = kept[2]["2"].pin
    kept[1].put_golden(pin.digest, {"schema": 1, "payload": {}, "predictions": [1.0]})
    assert keep_golden(kept[1], kept[2]["2"]) == IN_LEDGER
    assert keep_goldens(kept[1], [kept[2]["2"]]) == {pin.digest: IN_LEDGER}
    assert capsys.readouterr().err == ""
    assert stored(kept, pin) is None


def test_many_at_once_say_what_became_of_each(kept, capsys):
    """Those that are there, and those that are new; of none nothing is said."""
    there, new = kept[2]["2"], kept[2]["3"]
    kept[1].put_golden(there.pin.digest, {"schema": 1, "payload": {}, "predictions": [1.0]})
    assert keep_goldens(kept[1], [there, new]) == {there.pin.digest: IN_LEDGER, new.pin.digest: NO_EXAMPLE}
    assert capsys.readouterr().err == "computing golden predictions of 1 versions in isolated processes\n"
    assert stored(kept, new.pin)["digest"] == new.pin.digest
    assert keep_goldens(kept[1], []) == {}


def test_a_version_that_cannot_be_read_is_an_error_of_its_own(kept, tmp_path):
    """The others are kept; alone it is raised with the version's name."""
    broken = pin_of("wine", "9", {"MLmodel": b"[\n"}, tmp_path / "broken")
    strange = Loadable(broken, Admitted(tmp_path / "broken"))
    said = keep_goldens(kept[1], [strange, kept[2]["3"]])
    assert isinstance(said[broken.digest], Error)
    assert said[broken.digest].message.startswith("does not load and predict: ")
    assert not isinstance(said[kept[2]["3"].pin.digest], Error)
    with pytest.raises(Error, match=r"^wine 9 does not load and predict: "):
        keep_golden(kept[1], strange)
    assert stored(kept, broken) is None


def test_a_ledger_that_takes_nothing_is_a_note_and_no_failure(kept):
    """Neither the git host nor this disk: the pin is made all the same, and the host computes what it does not find."""
    bare, _, pins = kept
    stuck = ledger(bare.parent / "clone", spool=Path("/proc/spool"))  # where nobody can make anything
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'the ledger is locked' >&2\nexit 1\n")
    hook.chmod(0o755)
    try:
        one, many = keep_golden(stuck, pins["4"]), keep_goldens(stuck, [pins["4"]])
        left = leave_to_host(stuck, [pins["4"]])
    finally:
        hook.unlink()
    assert one.startswith("golden predictions could not be stored (")
    assert one.endswith("): the host will compute them")
    assert many == {pins["4"].pin.digest: one}
    (said,) = left.values()
    assert said.startswith("the manifest could not be stored (")
    assert said.endswith("); golden predictions are left to the host")
    assert stored(kept, pins["4"].pin) is None


def test_where_the_services_interpreter_is_not_here_the_host_computes(kept, tmp_path, capsys):
    """Another interpreter's predictions may not be what it answers: nothing is loaded, and the reason is said."""
    away = {}
    for version in "56":
        place = tmp_path / version
        pin = pin_of("wine", version, {"MLmodel": b"flavors: {}\n", "m": version.encode()}, place)
        away[version] = Loadable(pin, Admitted(place), python="/opt/away/bin/python")
    left = "golden predictions are left to the host: runtime.python is not there or cannot be run: /opt/away/bin/python"
    assert keep_golden(kept[1], away["5"]) == left
    assert keep_goldens(kept[1], [*away.values(), kept[2]["1"]]) == {
        away["5"].pin.digest: left,
        away["6"].pin.digest: left,
        kept[2]["1"].pin.digest: NO_EXAMPLE,
    }
    assert stored(kept, away["6"].pin)["digest"] == away["6"].pin.digest
    assert capsys.readouterr().err == "computing golden predictions of 1 versions in isolated processes\n"


def test_each_service_s_own_interpreter_computes(kept, tmp_path, monkeypatch):
    """Those of one interpreter together, in one process."""
    from mlrelease.commands import versions

    asked = []

    def computed(paths, *, python):
        asked.append((python, [path.name for path in paths]))
        return tuple({"predictions": [1.0]} for _ in paths)

    monkeypatch.setattr(versions, "compute_goldens", computed)
    wanted = []
    for version, python in (("7", ""), ("8", sys.executable), ("9", "")):
        pin = pin_of("wine", version, {"MLmodel": b"flavors: {}\n", "m": version.encode()}, tmp_path / version)
        wanted.append(Loadable(pin, Admitted(tmp_path / version), python))
    said = keep_goldens(kept[1], wanted)
    assert asked == [(sys.executable, ["7", "9"]), (sys.executable, ["8"])]
    assert set(said.values()) == {"golden predictions of 1 rows stored in the ledger"}


# -- what was said no to -----------------------------------------------------------------------------------------------

OLD, NEW = bundle("risk", "1", {"A": "7", "B": "1"}), bundle("risk", "1", {"A": "8", "B": "1"})
EIGHT = (model_key("A"), str(model("A", "8").digest))
NO = "A 8 was rejected in production by ada <a@b>: biased"


def told(*components, service="risk", deployed=None, lifted=False):
    from mlrelease.history.fold import fold

    book = Told()
    book.deploy(deployed or OLD)
    book.reject(*components, service=service)
    if lifted:
        book.unreject(*components, service=service)
    return fold("production", book.events)


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (told(EIGHT), NO),
        (told(EIGHT, lifted=True), ""),
        (told(EIGHT, service="fraud"), ""),
        (told((model_key("A"), digest("other"))), ""),
        (told((model_key("B"), EIGHT[1])), ""),
        (told(EIGHT, (model_key("B"), str(model("B", "1").digest))), NO),
        (told(EIGHT, (model_key("B"), str(model("B", "2").digest))), ""),
        (told(EIGHT, (IMAGE, str(NEW.image.digest))), NO),
        (told((model_key("B"), str(model("B", "1").digest))), ""),
        (told(EIGHT, deployed=NEW), ""),
    ],
    ids=[
        "it alone", "lifted again", "in another service", "another digest of the model", "the digest of another model",
        "together with what is there", "together with what is not there", "together with the image that is there",
        "only its neighbour", "what runs already",
    ],
)  # fmt: skip
def test_a_rejected_version_may_not_move_forward(history, said):
    """By digest, and only together with all that was rejected with it; what is recorded is no move."""
    assert refused(history, NEW, model("A", "8")) == said


def test_the_newest_word_is_repeated():
    """It was rejected twice: who asks is told what was said last."""
    from mlrelease.history.fold import fold

    book = Told()
    book.deploy(OLD)
    book.reject(EIGHT)
    book.wait(60)
    book.reject(EIGHT, (model_key("B"), str(model("B", "1").digest)))
    history = fold("production", book.events)
    assert history.rejections[-1].components > history.rejections[0].components
    assert refused(history, NEW, model("A", "8")) == NO


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["champion", "a", "v-one", "Prod_2"])
def test_an_alias_that_somebody_set(alias):
    """Comes back as it is."""
    assert check_alias(alias) == alias


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V23", "a b", "a/b", "x" * 300])
def test_an_alias_that_cannot_be_one_is_refused(alias):
    """What MLflow keeps for itself, and what it would not take."""
    with pytest.raises(UsageError) as misused:
        check_alias(alias)
    assert misused.value.hint.endswith("--alias champion")
    assert misused.value.message == "which alias?" if not alias else repr(alias) in misused.value.message


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none"),
        (["b", "a"], "a, b"),
        (map(str, range(10)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (map(str, range(12)), "0, 1, 10, 11, 2, 3, 4, 5, 6, 7 and 2 more"),
    ],
    ids=["none", "two", "ten", "twelve"],
)
def test_names_for_a_hint_are_sorted_and_few(names, text):
    """With how many more there are."""
    assert listed(names) == text


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=14))
def test_the_order_of_names_does_not_matter(names):
    """A hint is the same from run to run."""
    assert listed(names) == listed(reversed(names)) == listed(iter(sorted(names)))
