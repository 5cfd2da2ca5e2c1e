"""`promote`: what staging proved becomes production's pins, one commit each, with its evidence; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.promote import PromoteOptions, promote
from mlrelease.commands.words import Named, reject
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.when import iso
from support.fake_registry import FakeRegistry
from support.pair import Pair, approved, identity, staged
from support.world import git

WINE = model_key("wine")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both; version 2 is proved in staging."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p").create()
        pair.run("staging")
        approved(pair)
        pair.run()
        return staged(pair)


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


def say(pair, source="staging", destination="production", person="ada", **options):
    return promote(pair.person(person), source, destination, PromoteOptions(**options))


def pinned(pair, environment="production", model="wine"):
    """Version and digest as the file on the laptop has them."""
    lines = pair.file(environment, "models", model).read_text().splitlines()
    return tuple(
        next(line.split(": ")[1].strip('"') for line in lines if line.startswith(key)) for key in ("version", "digest")
    )


def results(report):
    return [(pin["component"], pin["result"].split(" as ")[0], pin["reason"]) for pin in report.data["pins"]]


def test_a_verified_version_becomes_a_pin_and_a_commit(pair):
    """Only the pin's tokens move; the verdict, the row and the next command say what happened."""
    before = pair.file("production", "models", "wine").read_text()
    report = say(pair)
    one, two = pair.pin("wine", "1"), pair.pin("wine", "2")
    assert (report.exit_code, report.verdict) == (0, "production: 1 pin promoted from staging")
    assert results(report) == [(WINE, "committed", "")]
    assert pair.subjects(1) == ["Promote wine 2 to production"]
    after = pair.file("production", "models", "wine").read_text()
    assert after == before.replace(one.digest, two.digest).replace('"1"', '"2"')
    assert report.next == "git push origin main"
    assert git(pair.laptop, "status", "--porcelain") == ""


def test_the_commit_carries_the_evidence(pair):
    """Where and when it was proved, by which receipt, what the gates said there, for how long it soaked."""
    facts = pair.registry.facts["wine", "2"]
    pair.registry.facts["wine", "2"] = replace(facts, run_id="r7", model_id="m-7")
    say(pair)
    entry = pair.history("staging").recorded["wine"]
    body = git(pair.laptop, "log", "-1", "--format=%b").splitlines()
    assert body[0] == "1 → 2, as verified in staging"
    assert f"Digest {pair.pin('wine', '2').digest}" in body
    assert f"Verified {iso(entry.at)} at revision {entry.revision} (receipt {entry.event})" in body
    gates = next(line for line in body if line.startswith("Gates in staging: "))
    assert "exists passed" in gates
    assert "digest passed" in gates
    assert "Soak in staging: none asked for" in body
    assert "MLflow run r7, logged model m-7" in body


def test_pushed_and_approved_it_is_deployed(pair):
    """The whole way: promote, push, yes, and the agent's next look."""
    report = say(pair, push=True)
    assert report.data["pins"][0]["result"].endswith("and pushed")
    assert report.next == "mlrelease approve production"
    assert pair.agent_looks().plan.changes[0].blocked_by == "approval"
    approved(pair)
    assert pair.agent_looks().receipts["wine"].outcome.value == "succeeded"
    assert pair.live() == {"wine": "2"}


def test_a_revert_of_the_promotion_is_clean_and_immediate(pair):
    """It is one pin's commit."""
    say(pair, push=True)
    approved(pair)
    pair.run()
    git(pair.laptop, "revert", "--no-edit", "HEAD")
    git(pair.laptop, "push", "--quiet", "origin", "main")
    assert pair.agent_looks().receipts["wine"].change.value == "rollback"
    assert pair.live() == {"wine": "1"}


def test_image_and_model_get_a_commit_each(pair):
    """The image first; each reverts by itself."""
    pair.image("staging", "wine")
    pair.run("staging")
    report = say(pair)
    assert results(report) == [(IMAGE, "committed", ""), (WINE, "committed", "")]
    assert pair.subjects(2) == ["Promote wine 2 to production", "Promote the image of wine to production"]
    files = [git(pair.laptop, "show", "--name-only", "--format=", ref).splitlines() for ref in ("HEAD~1", "HEAD")]
    assert files == [["environments/production/services/wine.yaml"], ["environments/production/models/wine.yaml"]]
    assert "ghcr.io/acme/serve:0.1.0 → ghcr.io/acme/serve:0.2.0" in git(pair.laptop, "log", "-1", "--format=%b", "HEAD~1")


def test_edited_without_a_commit(pair):
    """`--no-commit` leaves the commit to a person."""
    head = git(pair.laptop, "rev-parse", "HEAD")
    report = say(pair, commit=False)
    assert (results(report), report.next) == ([(WINE, "edited, not committed", "")], "git commit environments")
    assert git(pair.laptop, "rev-parse", "HEAD") == head
    assert pinned(pair)[0] == "2"


def test_nothing_to_promote_says_why(pair):
    """Exit 0, no commit."""
    say(pair)
    head = git(pair.laptop, "rev-parse", "HEAD")
    report = say(pair)
    assert (report.exit_code, report.verdict) == (
        0,
        "production: nothing to promote: its files say what staging verified",
    )
    assert git(pair.laptop, "rev-parse", "HEAD") == head


def test_what_is_pinned_but_not_proved_in_staging_does_not_move(pair):
    """Version 3 is wanted there; 2 is what was proved."""
    pair.stage("wine", "3")
    say(pair)
    assert pinned(pair) == ("2", str(pair.pin("wine", "2").digest))


def rejected_here(pair):
    reject(pair.person("ada"), "production", Named(model="wine", version="2"), reason="biased")


def rejected_there(pair):
    reject(pair.person("ada"), "staging", Named(model="wine", version="2"), reason="biased")


def overwritten(pair):
    pair.registry.add("wine", "2", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})


def deleted(pair):
    pair.registry.delete("wine", "2")


def left_behind(pair):
    """Version 2 went live in production and was left again."""
    say(pair, push=True)
    approved(pair)
    pair.run()
    pair.revert("HEAD")
    pair.run()


def other_image(pair):
    """Production runs another image than the one that 2 was proved under; staging's is not to move."""
    pair.image("production", "wine")


@pytest.mark.parametrize(
    ("prepare", "options", "why"),
    [
        pytest.param(
            lambda p: (p.bump("wine", "2"), rejected_here(p), p.revert("HEAD")), {}, "rejected by ada: biased (in production)",
            id="rejected here",
        ),
        pytest.param(rejected_there, {}, "wine 2 was rejected by ada: biased (in staging)", id="rejected in the source"),
        pytest.param(
            left_behind, {}, "rejected by Test: git moved back to what was verified here before (in production)",
            id="moved back from here",
        ),
        pytest.param(overwritten, {}, "its artifacts at http://fake were changed since they were verified: found sha256:", id="overwritten since"),  # noqa: E501
        pytest.param(deleted, {}, "wine version 2 is gone from http://fake", id="deleted since"),
        pytest.param(
            other_image, {"images": False}, "wine 2 was never verified in staging under the image that it would run with here",
            id="without its image",
        ),
    ],
)  # fmt: skip
def test_what_may_not_move_is_refused_with_its_reason(pair, prepare, options, why):
    """Exit 5, and the file stays as it was."""
    pair.pin("wine", "2")
    prepare(pair)
    before = pinned(pair)
    report = say(pair, **options)
    ((_, result, reason),) = [line for line in results(report) if line[0] == WINE]
    assert (report.exit_code, result, pinned(pair)) == (5, "refused", before)
    assert reason.startswith(why)
    assert "1 refused" in report.verdict


def test_going_back_is_not_promoting(pair):
    """Staging was rolled back to what production left: another verb, with its own proof."""
    say(pair, push=True)
    approved(pair)
    pair.run()
    pair.stage("wine", "1")
    pair.run("staging")
    report = say(pair)
    assert (report.exit_code, results(report)) == (
        5,
        [(WINE, "refused", "production was there before: mlrelease rollback goes back to it")],
    )


def test_one_refused_pin_does_not_stop_the_other(tmp_path):
    """Each gets its line; the worst exit code wins."""
    pair = Pair(tmp_path / "two", services=("ham", "wine")).create()
    pair.run("staging")
    for name in ("ham", "wine"):
        pair.stage(name, "2")
    pair.run("staging")
    pair.registry.delete("ham", "2")
    report = say(pair)
    assert [line[:2] for line in results(report)] == [(model_key("ham"), "refused"), (WINE, "committed")]
    assert (report.exit_code, report.verdict) == (5, "production: 1 pin promoted from staging, 1 refused")
    narrowed = say(pair, services=("ham",))
    assert [line[:2] for line in results(narrowed)] == [(model_key("ham"), "refused")]


def test_a_model_without_a_file_is_named_with_the_command_that_makes_one(tmp_path):
    """Nothing is created in silence."""
    pair = Pair(tmp_path / "two", services=("ham", "wine")).create()
    pair.file("production", "models", "ham").unlink()
    pair.file("production", "services", "ham").unlink()
    pair.commit("Production has no ham")
    pair.run("staging")
    report = say(pair)
    assert report.exit_code == 0
    assert report.notes == [
        "staging serves ham, and production has no file for it: mlrelease new model production ham --service ham"
    ]
    assert not pair.file("production", "models", "ham").exists()


class TestAnotherServer:
    """Production has an MLflow of its own: numbers mean nothing, bytes do."""

    @pytest.fixture
    def apart(self, tmp_path):
        """Version 2 is proved in staging; production's MLflow is empty."""
        pair = Pair(tmp_path / "apart", elsewhere=FakeRegistry(where="http://other")).create()
        pair.run("staging")
        return staged(pair)

    def test_the_version_with_the_same_bytes_is_pinned(self, apart):
        """Whatever its number there."""
        bytes_of = apart.registry.contents["wine", "2"]
        apart.elsewhere.add("wine", "40", bytes_of)
        apart.elsewhere.add("wine", "41", {"MLmodel": b"flavors: {}\n", "model.bin": b"newer"})
        report = say(apart)
        assert results(report) == [(WINE, "committed", "")]
        assert pinned(apart) == ("40", str(apart.pin("wine", "2").digest))
        body = git(apart.laptop, "log", "-1", "--format=%b").splitlines()
        assert body[0] == "1 → 40, as verified in staging (2 there)"

    @pytest.mark.parametrize("others", [0, 3], ids=["nothing there", "only other bytes there"])
    def test_bytes_that_are_not_there_are_to_be_copied(self, apart, others):
        """Refused, with what to do."""
        for number in range(others):
            apart.elsewhere.add("wine", str(number + 1), {"MLmodel": b"flavors: {}\n", "model.bin": b"%d" % number})
        report = say(apart)
        ((_, result, reason),) = results(report)
        assert (report.exit_code, result) == (5, "refused")
        looked = "none of its 3 newest versions" if others else "no version"
        assert reason.startswith(f"{looked} at http://other has the bytes that were verified: copy the bytes of wine 2")

    def test_the_search_is_bounded(self, apart):
        """Each look is a download."""
        for number in range(40):
            apart.elsewhere.add("wine", str(number + 1), {"MLmodel": b"flavors: {}\n", "model.bin": b"%d" % number})
        apart.elsewhere.downloaded.clear()
        say(apart)
        assert apart.elsewhere.downloaded == [("wine", str(number)) for number in range(40, 20, -1)]


def test_a_soak_not_served_is_promoted_and_said(tmp_path):
    """The merge may be made ahead; the plan waits until the moment that the commit names."""
    pair = Pair(tmp_path / "p", soak="1h").create()
    pair.run("staging")
    staged(pair)
    served = iso(pair.clock + 3600)
    report = say(pair, push=True)
    said = f"not before {served}, when its soak in staging is served"
    assert results(report) == [(WINE, "committed", said)]
    assert f"Soak in staging: 3600 s, {said}" in git(pair.laptop, "log", "-1", "--format=%b")
    waiting = pair.agent_looks()
    assert (waiting.plan.changes[0].blocked_by, iso(waiting.plan.changes[0].waits_until)) == ("soak", served)
    pair.clock += 3600
    assert pair.change().blocked_by == "approval"


def dirty(pair):
    pair.file("production", "models", "wine").write_text("edited: by hand\n")


def dirty_in_staging(pair):
    path = pair.file("staging", "models", "wine")
    path.write_text(path.read_text() + "# a note\n")


@pytest.mark.parametrize(
    ("prepare", "arguments", "kind", "why"),
    [
        pytest.param(dirty_in_staging, {}, Error, "has changes that are not committed", id="a work tree with changes"),
        pytest.param(
            lambda p: git(p.laptop, "checkout", "--quiet", "--detach"), {}, Error, "is detached", id="a detached checkout"
        ),
        pytest.param(lambda p: None, {"source": "production"}, UsageError, "cannot be promoted to itself", id="itself"),
        pytest.param(lambda p: None, {"source": "moon"}, UsageError, "there is no environment 'moon'", id="no such source"),
        pytest.param(lambda p: None, {"destination": "moon"}, UsageError, "there is no environment 'moon'", id="no such one"),
        pytest.param(lambda p: None, {"services": ("beer",)}, UsageError, "no valid service 'beer'", id="no such service"),
        pytest.param(lambda p: None, {"models": ("beer",)}, Error, "has no model 'beer'", id="no such model"),
        pytest.param(lambda p: setattr(p.registry, "down", True), {}, UnavailableError, "did not answer", id="no MLflow"),
    ],
)
def test_what_it_cannot_work_with_moves_nothing(pair, prepare, arguments, kind, why):
    """An error with what to do; no commit, no edit."""
    prepare(pair)
    head, before = git(pair.laptop, "rev-parse", "HEAD"), git(pair.laptop, "diff")
    with pytest.raises(kind, match=why) as raised:
        say(pair, **arguments)
    assert raised.value.hint
    assert (git(pair.laptop, "rev-parse", "HEAD"), git(pair.laptop, "diff")) == (head, before)


def test_an_environment_is_promoted_to_from_its_own_source_only(pair):
    """`promotes_from` says which."""
    base = pair.laptop / "environments"
    text = (base / "staging" / "environment.yaml").read_text()
    (base / "preview").mkdir()
    for kind in ("services", "models"):
        (base / "preview" / kind).mkdir()
        file = base / "staging" / kind / "wine.yaml"
        (base / "preview" / kind / "wine.yaml").write_text(file.read_text())
    (base / "preview" / "environment.yaml").write_text(text.replace("staging", "preview").replace("8081", "8082"))
    pair.commit("Preview")
    with pytest.raises(UsageError, match="production promotes from staging, not from preview") as raised:
        say(pair, source="preview")
    assert raised.value.hint == "mlrelease promote staging production"
