"""`release verify`: what it proves, and that it sees each thing that is not as recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.release.verify import VerifyOptions, verify
from mlrelease.errors import Error, UsageError
from mlrelease.forge.git import Git
from mlrelease.ledger.ref import LedgerRef
from mlrelease.model.event import Approved
from support.pair import identity
from support.releasing import Shop
from support.world import git

pytestmark = pytest.mark.xdist_group("release-verify")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """v0.1.0 with an approval, and a version deployed after it."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("verify") / "w").ready()
        bundle = shop.history().recorded["wine"].bundle
        after = tuple(sorted(bundle.components().items()))
        approval = Approved("A1", "production", shop.clock, "Ada", "wine", (), after, "grace", shop.clock + 60)
        shop.site().ledger.append([approval])
        shop.released()
        shop.deployed("wine", "2", rmse=68.9)
        yield shop


@pytest.fixture
def shop(released, tmp_path):
    return released.copy(tmp_path / "w")


def proved(shop, tag="v0.1.0", *, deep=False, images=False):
    variables = {"XDG_CACHE_HOME": str(shop.root / "user-cache"), "HOME": str(shop.root)}
    return verify(shop.desk(variables=variables), tag, VerifyOptions(deep, images))


def lines(report, result):
    return {(row[0], row[1]): row[3] for row in report.rows if row[2] == result}


def test_a_release_proves_itself_from_git_ledger_and_mlflow(shop):
    """Every line passes, also after the branch has moved on; images are said not to be asked."""
    report = proved(shop)
    assert report.exit_code == 0, report.rows
    assert set(lines(report, "passed")) == {
        ("v0.1.0", "annotated"),
        ("v0.1.0", "tag"),
        ("v0.1.0", "branch"),
        ("releases/v0.1.0.yaml", "unchanged"),
        ("releases/v0.1.0.yaml", "revision"),
        ("VERSION", "version"),
        ("production/wine", "pins"),
        ("production", "ledger"),
        ("production/wine", "receipt"),
        ("production/wine", "approval"),
        ("wine 1", "mlflow"),
    }
    assert lines(report, "skipped") == {("production", "images"): "not asked: --images asks their registries"}
    assert report.verdict == "v0.1.0: 11 proved, 1 not asked"
    assert report.data["lines"][0] == {
        "what": "v0.1.0",
        "check": "annotated",
        "result": "passed",
        "reason": "an object with a tagger and a date",
    }


def test_deep_hashes_the_artifacts_again(shop):
    """One more line for each model."""
    report = proved(shop, deep=True)
    assert report.exit_code == 0
    assert lines(report, "passed")["wine 1", "digest"] == shop.pins["wine", "1"].digest
    assert shop.registry.downloaded


def test_a_clone_without_the_tag_fetches_it(shop, tmp_path):
    """A person elsewhere."""
    git(tmp_path, "clone", "--quiet", "--no-tags", str(shop.origin), "other")
    desk = replace(shop.desk(), git=Git(tmp_path / "other"))
    assert verify(desk, "v0.1.0", VerifyOptions()).exit_code == 0


def edited_record(shop):
    path = "releases/v0.1.0.yaml"
    shop.file(path, shop.read(path).replace("rmse: 71.2", "rmse: 60.0"))


def removed_record(shop):
    git(shop.laptop, "rm", "--quiet", "releases/v0.1.0.yaml")
    shop.commit("Remove the record")


def moved_here(shop):
    git(shop.laptop, "tag", "--force", "--annotate", "-m", "moved", "v0.1.0", "HEAD")


def retagged(shop, change):
    """Another commit on top of the tagged one takes its tag, everywhere."""
    git(shop.laptop, "switch", "--quiet", "--detach", "v0.1.0^{commit}")
    change()
    git(shop.laptop, "add", "-A")
    git(shop.laptop, "commit", "--quiet", "-m", "Forged")
    git(shop.laptop, "tag", "--force", "--annotate", "-m", "v0.1.0", "v0.1.0")
    git(shop.laptop, "push", "--quiet", "--force", "origin", "v0.1.0")
    git(shop.laptop, "switch", "--quiet", "main")


def other_pins(shop):
    from mlrelease.spec.edit import set_model_pin

    pin, path = shop.pins["wine", "2"], shop.model_file("wine")
    retagged(shop, lambda: path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest)))


def other_version(shop):
    retagged(shop, lambda: (shop.laptop / "VERSION").write_text("0.1.1\n"))


def another_service(shop):
    def add():
        for path in (shop.model_file("wine"), shop.service_file("wine")):
            path.with_name("fraud.yaml").write_text(
                path.read_text().replace("wine", "fraud").replace("acme/serve", "acme/serve")
            )

    retagged(shop, add)


def lightweight(shop):
    git(shop.laptop, "tag", "--force", "v0.1.0", "v0.1.0^{commit}")
    git(shop.laptop, "push", "--quiet", "--force", "origin", "v0.1.0")


def written_over(shop, *contents):
    """The receipt's file in the ledger, changed by one later commit for each content."""
    host = Git(shop.host)
    ref = LedgerRef(host, "origin", "mlrelease/ledger")
    first = ref.look()
    name = host.run("ls-tree", "--name-only", first.commit, "production/events/").splitlines()[1]
    data = host.blobs([f"{first.commit}:{name}"])[0]
    for content in contents:
        tip = ref.look()
        ref.swap(host.graft(tip.commit, {name: content(data)}, "Change it\n"), tip)


def rewritten_event(shop):
    written_over(shop, lambda data: data.replace(b'"actor": "Test"', b'"actor": "Nobody"'))


def rewritten_and_mended(shop):
    written_over(shop, lambda data: data.replace(b'"actor": "Test"', b'"actor": "Nobody"'), lambda data: data)


def empty_ledger(shop):
    git(shop.origin, "update-ref", "-d", "refs/heads/mlrelease/ledger")
    for folder in (shop.laptop, shop.host):
        git(folder, "update-ref", "-d", "refs/mlrelease/remote/ledger")


def gone(shop):
    shop.registry.delete("wine", "1")


def registered_again(shop):
    facts = shop.registry.facts["wine", "1"]
    shop.registry.facts["wine", "1"] = replace(facts, run_id="run-other", created_at=facts.created_at + 1)


FAILURES = [
    (edited_record, ("releases/v0.1.0.yaml", "unchanged"), "another on origin/main than in the tag"),
    (removed_record, ("releases/v0.1.0.yaml", "unchanged"), "another on origin/main than in the tag"),
    (moved_here, ("v0.1.0", "tag"), "here it is "),
    (other_pins, ("production/wine", "pins"), "the files of the commit pin something else"),
    (other_pins, ("v0.1.0", "branch"), "is not on origin/main"),
    (another_service, ("production/fraud", "pins"), "the service is not in the record"),
    (other_version, ("VERSION", "version"), "says 0.1.1"),
    (lightweight, ("v0.1.0", "annotated"), "a plain name that anybody can move"),
    (rewritten_event, ("production", "ledger"), "the chain does not hold"),
    (rewritten_and_mended, ("production", "ledger"), "was changed or removed after it was written"),
    (empty_ledger, ("production", "ledger"), "it has 0 events; when it was released it had 3"),
    (empty_ledger, ("production/wine", "receipt"), "the ledger has no receipt"),
    (empty_ledger, ("production/wine", "approval"), "A1 does not say so"),
    (gone, ("wine 1", "mlflow"), "the version is gone from http://fake"),
    (registered_again, ("wine 1", "mlflow"), "it is another version under this number: run run-other instead of run-wine-1"),
]


@pytest.mark.parametrize(
    ("trouble", "line", "reason"), FAILURES, ids=[f"{trouble.__name__} is seen by {line[1]}" for trouble, line, _ in FAILURES]
)
def test_each_thing_that_is_not_as_recorded_fails_its_line(shop, trouble, line, reason):
    """Exit code 5, and the line says what is different."""
    trouble(shop)
    report = proved(shop)
    assert report.exit_code == 5, report.rows
    assert reason in lines(report, "failed")[line]
    assert "failed" in report.verdict


def test_bytes_that_were_changed_are_seen_by_a_deep_look_only(shop):
    """MLflow's metadata says nothing of it."""
    shop.registry.contents["wine", "1"] = {"MLmodel": b"flavors: {}\n", "model.bin": b"changed"}
    assert proved(shop).exit_code == 0
    report = proved(shop, deep=True)
    assert report.exit_code == 5
    assert "its artifacts were changed" in lines(report, "failed")["wine 1", "digest"]


@pytest.mark.parametrize("down", ["mlflow", "git host"])
def test_what_could_not_be_asked_is_errored_and_no_proof(shop, down):
    """Exit code 1: nobody knows; what could be asked has its line all the same."""
    if down == "mlflow":
        shop.registry.down = True
    else:
        git(shop.laptop, "remote", "set-url", "origin", "../nowhere.git")
    report = proved(shop)
    assert report.exit_code == 1
    assert lines(report, "errored")
    assert ("production/wine", "pins") in lines(report, "passed")


def test_a_failure_beside_an_error_is_an_error(shop):
    """The worst wins: what was not asked may be worse."""
    shop.registry.down = True
    edited_record(shop)
    report = proved(shop)
    assert report.exit_code == 1
    assert report.verdict.startswith("v0.1.0: 1 failed, ")


def test_there_is_no_such_release(shop):
    """The tags that there are, are named."""
    with pytest.raises(Error, match=r"there is no tag v9\.9\.9") as failed:
        proved(shop, "v9.9.9")
    assert failed.value.hint == "tags here: v0.1.0"


def test_a_name_that_is_no_release_is_misuse(shop):
    """Exit code 2."""
    with pytest.raises(UsageError, match="'main' is no release"):
        proved(shop, "main")


def test_a_tag_of_another_program_has_no_record(shop):
    """Said, instead of an empty proof."""
    git(shop.laptop, "tag", "--annotate", "-m", "old", "v0.0.1", "v0.1.0~1")
    with pytest.raises(Error, match=r"v0\.0\.1 has no releases/v0\.0\.1\.yaml"):
        proved(shop, "v0.0.1")


def test_a_record_that_cannot_be_read_is_an_error_with_its_place(shop):
    """Not a traceback."""
    retagged(shop, lambda: (shop.laptop / "releases/v0.1.0.yaml").write_text("schema: 1\nrelease: v0.1.0\n"))
    with pytest.raises(Error, match=r"releases/v0\.1\.0\.yaml is no release record"):
        proved(shop)


def test_an_unset_variable_of_the_address_is_errored(shop):
    """Nobody knows whom to ask."""
    here = Shop.site

    def site(self, **more):
        from mlrelease.errors import Error

        def unset():
            raise Error("MLFLOW_TRACKING_URI is not set", hint="export it")

        return replace(here(self, **more), registry=unset)

    Shop.site = site
    try:
        report = proved(shop)
    finally:
        Shop.site = here
    assert lines(report, "errored") == {("production", "mlflow"): "MLFLOW_TRACKING_URI is not set"}


@pytest.mark.parametrize(
    ("change", "result", "code"),
    [
        (lambda registry: None, "passed", 0),
        (lambda registry: registry.manifests.clear(), "failed", 5),
        (lambda registry: registry.statuses.extend([403] * 9), "errored", 1),
    ],
    ids=["it has the digest", "it has it no more", "it does not let us ask"],
)
def test_the_image_registry_is_asked_when_asked_for(shop, change, result, code):
    """One line for each image, instead of the one that says that nobody asked."""
    from support.oci_server import running_registry

    with running_registry() as registry:
        shop.edit(shop.service_file("wine"), ("image",), registry.image())
        shop.run()
        shop.released()
        change(registry)
        report = proved(shop, "v0.2.0", images=True)
    assert report.exit_code == code, report.rows
    assert (registry.image().partition("@")[0], "image") in lines(report, result)
    assert ("production", "images") not in lines(report, "skipped")


def test_another_ledger_of_the_same_length_is_not_the_recorded_one(shop):
    """A chain that holds, but does not lead to the recorded event."""
    from mlrelease.commands.release.proofs import of_ledger

    released = shop.record("v0.1.0").environments["production"]
    links = shop.site().ledger.chain("production")
    assert {line.status.value for line in of_ledger(released, links, ())} == {"passed"}
    other = replace(released, head=f"sha256:{'f' * 64}")
    (line, *_) = of_ledger(other, links, ())
    assert (line.status.value, line.check) == ("failed", "ledger")
    assert line.reason == f"event 3 is {released.head}, not sha256:{'f' * 64}"
