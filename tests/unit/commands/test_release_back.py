"""`rollback ENV --to-release` and `deploy ENV --release`: back to a release where something ran, and again where nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.deploy import DeployOptions, deploy
from mlrelease.commands.release.restore import restore
from mlrelease.commands.rollback import RollbackOptions
from mlrelease.commands.words import Named, reject
from mlrelease.errors import Error, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.model.event import Held
from mlrelease.spec.edit import set_model_pin
from support.fake_target import FakeTarget
from support.pair import identity
from support.releasing import Shop
from support.world import git

pytestmark = pytest.mark.xdist_group("release-back")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """v0.1.0 with `a` and `b` at version 1; both at version 2 since."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("back") / "w", services=("a", "b")).ready()
        shop.released()
        for name in "ab":
            shop.measured(name, "2", rmse=68.9)
            shop.bump(name, "2")
        shop.run()
        yield shop


@pytest.fixture
def shop(released, tmp_path):
    return released.copy(tmp_path / "w")


def back(shop, tag="v0.1.0", **options):
    return restore(shop.desk(), "production", RollbackOptions(to_release=tag, **options))


def pinned(shop):
    services = shop.desired().spec.environments["production"].services
    return {name: service.models[0].pin.version for name, service in services.items()}


def count(shop, since):
    return git(shop.origin, "rev-list", "--count", f"{since}..main")


# -- rollback --to-release ---------------------------------------------------------------------------------------------


def test_every_service_goes_back_by_a_commit_of_its_own(shop):
    """Two forward commits, pushed together; nothing is applied yet."""
    before = git(shop.laptop, "rev-parse", "origin/main")
    report = back(shop)
    assert report.exit_code == 0
    assert pinned(shop) == {"a": "1", "b": "1"}
    assert count(shop, before) == "2"
    subjects = git(shop.host, "log", "-2", "--format=%s", "origin/main").splitlines()
    assert subjects == ["Roll back b in production to b 1", "Roll back a in production to a 1"]
    assert "as released in v0.1.0" in git(shop.host, "log", "-1", "--format=%b", "origin/main")
    assert report.verdict.startswith("production: 2 services back to v0.1.0: committed as ")
    assert report.next == "mlrelease deploy production"
    assert shop.live() == {"a": "2", "b": "2"}


def test_each_commit_changes_the_pins_of_one_service_only(shop):
    """So that each can be reverted alone."""
    back(shop)
    for commit, name in (("origin/main", "b"), ("origin/main~1", "a")):
        files = git(shop.host, "show", "--format=", "--name-only", commit).split()
        assert files == [f"environments/production/models/{name}.yaml"]


def test_applied_and_proved_at_once(shop):
    """`--now` ends with the old versions answering."""
    report = back(shop, now=True)
    assert report.exit_code == 0
    assert shop.live() == {"a": "1", "b": "1"}
    assert "v0.1.0 is proved after" in report.notes[-1]


def test_not_proved_is_never_0(shop):
    """The proxy answers with something else: exit code 1, and it is said."""
    for name in "ab":
        shop.target.wrong_through_proxy.add(shop.history().verified[name][0].bundle.id)
    report = back(shop, now=True)
    assert report.exit_code == 1
    assert "v0.1.0 is NOT proved" in report.notes[-1]


def test_one_service_alone(shop):
    """`--service` narrows it."""
    back(shop, service="a")
    assert pinned(shop) == {"a": "1", "b": "2"}


def test_what_is_there_already_is_left_alone(shop):
    """One service moved by hand before: only the other gets a commit; a third run has nothing to do."""
    shop.bump("a", "1")
    before = git(shop.laptop, "rev-parse", "origin/main")
    back(shop)
    assert count(shop, before) == "1"
    tip = git(shop.origin, "rev-parse", "main")
    report = back(shop)
    assert "git wants it already" in report.verdict
    assert git(shop.origin, "rev-parse", "main") == tip


def test_without_a_push_the_commits_wait(shop):
    """The branch there stays where it is."""
    tip = git(shop.origin, "rev-parse", "main")
    assert back(shop, push=False).exit_code == 0
    assert git(shop.origin, "rev-parse", "main") == tip


def test_a_release_that_was_never_verified_in_this_ledger_is_refused_before_any_commit(shop):
    """A new ledger knows of nothing: going there is a rebuild, or a move forward."""
    git(shop.origin, "update-ref", "-d", "refs/heads/mlrelease/ledger")
    for folder in (shop.laptop, shop.host):
        git(folder, "update-ref", "-d", "refs/mlrelease/remote/ledger")
    tip = git(shop.origin, "rev-parse", "main")
    with pytest.raises(Error, match=r"a as in v0\.1\.0 was never verified in this ledger"):
        back(shop)
    assert git(shop.origin, "rev-parse", "main") == tip


def test_one_version_that_is_gone_stops_all_before_any_commit(shop):
    """Neither in the cache nor at MLflow: the other service does not move either."""
    import shutil

    digest = shop.pins["b", "1"].digest
    entry = shop.site().cache.get(digest)
    for path in [entry, *entry.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(entry)
    shop.registry.delete("b", "1")
    tip = git(shop.origin, "rev-parse", "main")
    with pytest.raises(Error, match="b version 1 is gone"):
        back(shop)
    assert git(shop.origin, "rev-parse", "main") == tip


def test_a_persons_rejection_stops_it_unless_a_reason_lifts_it(shop):
    """As for every rollback."""
    reject(shop.desk(), "production", Named("a", "a", "1", ""), reason="leaks names")
    tip = git(shop.origin, "rev-parse", "main")
    with pytest.raises(Error, match="leaks names") as refused:
        back(shop)
    assert "--force" in refused.value.hint
    assert git(shop.origin, "rev-parse", "main") == tip
    assert back(shop, force="the names are test data").exit_code == 0
    assert pinned(shop) == {"a": "1", "b": "1"}
    assert shop.history().rejections == ()


def test_a_push_meanwhile_is_refused_and_nothing_moves(shop, tmp_path):
    """Somebody was faster between the look and the push."""
    from mlrelease.commands.release import restore as module

    git(tmp_path, "clone", "--quiet", str(shop.origin), "other")
    real = module.check_loads

    def slow(site, pin, python):
        if pin.name == "a":
            git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "-m", "Meanwhile")
            git(tmp_path / "other", "push", "--quiet")
        real(site, pin, python)

    module.check_loads = slow
    try:
        with pytest.raises(PushRefusedError) as refused:
            back(shop)
    finally:
        module.check_loads = real
    assert refused.value.stale
    assert pinned(shop) == {"a": "2", "b": "2"}


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"tag": "v7.0.0"}, Error, r"there is no tag v7\.0\.0"),
        ({"tag": "yesterday"}, UsageError, "'yesterday' is no release"),
        ({"service": "c"}, UsageError, r"v0\.1\.0 has no service 'c'"),
        ({"push": False, "now": True}, UsageError, "--no-push"),
    ],
    ids=["a tag that is not there", "a name that is no tag", "a service that the release had not", "now without a push"],
)
def test_what_makes_no_sense_is_said(shop, options, kind, match):
    """Before anything is asked or moved."""
    with pytest.raises(kind, match=match):
        back(shop, **options)


def test_a_service_that_is_gone_since_is_named_with_the_way_out(shop):
    """Its removal has to be reverted: files do not come back by a pin."""
    path = shop.service_file("b")
    shop.file("environments/production/services/b.yaml", path.read_text() + "\nstate: absent\n")
    shop.file("environments/production/models/b.yaml", shop.model_file("b").read_text() + "\nstate: absent\n")
    with pytest.raises(Error, match="b is no service of production any more"):
        back(shop)
    assert back(shop, service="a").exit_code == 0


def test_another_environment_is_not_in_the_release(shop):
    """The record says which are."""
    text = shop.read("environments/production/environment.yaml")
    other = text.replace("production", "staging").replace("8080", "8081")
    for kind in ("services", "models"):
        for name in "ab":
            source = shop.laptop / "environments/production" / kind / f"{name}.yaml"
            place = shop.laptop / "environments/staging" / kind / f"{name}.yaml"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(source.read_text())
    shop.file("environments/staging/environment.yaml", other)
    with pytest.raises(Error, match=r"v0\.1\.0 has no staging") as failed:
        restore(shop.desk(), "staging", RollbackOptions(to_release="v0.1.0"))
    assert failed.value.hint == "environments in it: production"


# -- holds of an earlier rollback ---------------------------------------------------------------------------------------


def held(shop, service, commit):
    """An earlier rollback whose commit waits in a pull request: that commit says what the service should be."""
    event = Held(shop.ids(), "production", shop.clock, "grace", "Roll back", service, pinned_to=commit)
    shop.site().ledger.append([event])


def standing(shop):
    return [hold.service for hold in shop.history().holds]


def aside(shop):
    """A commit with `a` at version 3 that is on no branch but the earlier rollback's own."""
    shop.measured("a", "3", rmse=60.0)
    pin, path = shop.pins["a", "3"], shop.model_file("a")
    path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
    git(shop.laptop, "commit", "--quiet", "-am", "Roll back a")
    commit = git(shop.laptop, "rev-parse", "HEAD")
    git(shop.laptop, "push", "--quiet", "origin", "HEAD:refs/heads/mlrelease/rollback/production/a")
    git(shop.laptop, "reset", "--quiet", "--hard", "HEAD~1")
    return commit


def test_an_older_hold_ends_with_the_push(shop):
    """Else the commit of that hold would go on to say what runs, and the release would never be applied."""
    held(shop, "a", aside(shop))
    report = back(shop, now=True)
    assert (report.exit_code, shop.live(), standing(shop)) == (0, {"a": "1", "b": "1"}, [])


def test_a_hold_on_a_service_that_git_has_right_ends_too_and_is_applied(shop):
    """`b` is pinned as released, and held elsewhere: the person asks for the whole release."""
    two = git(shop.laptop, "rev-parse", "origin/main")
    back(shop, service="b")
    held(shop, "b", two)
    report = back(shop, now=True)
    assert (report.exit_code, shop.live(), standing(shop)) == (0, {"a": "1", "b": "1"}, [])


def test_without_a_push_a_hold_stands(shop):
    """Nobody but this clone knows of the commits."""
    held(shop, "a", git(shop.laptop, "rev-parse", "origin/main"))
    back(shop, push=False)
    assert standing(shop) == ["a"]


def test_a_hold_that_says_otherwise_than_git_is_to_be_lifted(shop):
    """There is nothing to commit: git has the release already."""
    two = git(shop.laptop, "rev-parse", "origin/main")
    back(shop)
    held(shop, "a", two)
    report = back(shop)
    assert report.verdict == "production: 0 services back to v0.1.0: git wants it already"
    assert report.next == 'mlrelease unhold production --service a --reason "…"'
    assert standing(shop) == ["a"]


# -- deploy --release --------------------------------------------------------------------------------------------------


def lost(shop, *, approval=False):
    """The host and the ledger are gone; git and MLflow are there."""
    git(shop.origin, "update-ref", "-d", "refs/heads/mlrelease/ledger")
    for folder in (shop.laptop, shop.host):
        git(folder, "update-ref", "-d", "refs/mlrelease/remote/ledger")
    shop.target = FakeTarget()
    import shutil

    shutil.rmtree(shop.root / "state", onerror=lambda f, p, e: None)
    return shop


def rebuilt(shop, tag="v0.1.0", **options):
    return deploy(shop.desk(), "production", DeployOptions(release=tag, **options))


def test_a_release_is_rebuilt_on_an_empty_host_with_a_new_ledger(shop):
    """What was released answers, at the tag's commit; the ledger begins with it."""
    report = rebuilt(lost(shop))
    assert report.exit_code == 0, report.rows
    assert shop.live() == {"a": "1", "b": "1"}
    history = shop.history()
    commit = git(shop.laptop, "rev-parse", "v0.1.0^{commit}")
    assert {entry.revision for entry in history.recorded.values()} == {commit}
    assert any("as its record vouches for them" in note for note in report.notes)
    assert any("origin/main says something else by now" in note for note in report.notes)


def test_the_receipt_says_by_which_release(shop):
    """`trigger` names the tag."""
    rebuilt(lost(shop))
    events = shop.site().ledger.read("production").events
    assert {event.trigger for event in events} == {"release v0.1.0"}


def test_where_something_is_recorded_it_is_refused_and_rollback_is_named(shop):
    """Exit code 5; nothing moves."""
    report = rebuilt(shop)
    assert report.exit_code == 5
    assert report.verdict.startswith("production: refused: a, b is recorded there")
    assert report.next == "mlrelease rollback production --to-release v0.1.0"
    assert shop.live() == {"a": "2", "b": "2"}


def test_a_release_that_does_not_hold_is_not_rebuilt(shop):
    """A record that was edited since is no evidence."""
    path = "releases/v0.1.0.yaml"
    shop.file(path, shop.read(path).replace("rmse: 71.2", "rmse: 60.0", 1))
    with pytest.raises(Error, match=r"v0\.1\.0 does not hold: releases/v0\.1\.0\.yaml: unchanged"):
        rebuilt(lost(shop))
    assert shop.live() == {}


def test_bytes_that_are_not_the_pins_do_not_come_back(shop):
    """The gates still judge: the digest is checked before anything loads."""
    shop.registry.contents["a", "1"] = {"MLmodel": b"flavors: {}\n", "model.bin": b"changed"}
    report = rebuilt(lost(shop))
    assert report.exit_code == 5
    assert "a" not in shop.live()
    assert shop.live() == {"b": "1"}


def test_the_environment_must_be_in_the_release(shop):
    """Said before anything is looked at."""
    with pytest.raises(Error, match=r"v0\.1\.0 has no staging"):
        deploy(shop.desk(), "staging", DeployOptions(release="v0.1.0"))


@pytest.fixture
def guarded(tmp_path):
    """Production promotes from staging and asks for approvals; v0.1.0 was approved by grace, then everything was lost."""
    from mlrelease.commands.release.cut import ReleaseOptions, release
    from support.pair import Pair, approved, staged

    with identity():
        pair = staged(Pair(tmp_path / "p").create())
        pair.run("staging")
        pair.bump("wine", "2")
        approved(pair)
        pair.run()
        assert release(pair.person(), ReleaseOptions()).exit_code == 0
        git(
            pair.origin if hasattr(pair, "origin") else pair.root / "origin.git",
            "update-ref",
            "-d",
            "refs/heads/mlrelease/ledger",
        )
        for folder in (pair.laptop, pair.host):
            git(folder, "update-ref", "-d", "refs/mlrelease/remote/ledger")
        pair.target = FakeTarget()
        yield pair


def test_a_rebuild_takes_the_approval_of_the_record_and_asks_no_other_environment(guarded):
    """Staging's history is lost too: the record vouches, and the new ledger says so."""
    report = deploy(guarded.person("heidi"), "production", DeployOptions(release="v0.1.0"))
    assert report.exit_code == 0, (report.verdict, report.rows)
    assert guarded.live() == {"wine": "2"}
    (approval,) = [e for e in guarded.site().ledger.read("production").events if e.KIND == "approved"]
    assert (approval.approver, approval.actor) == ("grace", "heidi")
    assert approval.reason.startswith("approved on ")
    assert "as recorded in v0.1.0" in approval.reason


def test_without_an_approval_in_the_record_a_rebuild_waits_for_a_person(guarded):
    """The record is no way around the policy: what nobody approved then, somebody approves now."""
    path = "releases/v0.1.0.yaml"
    lines = git(guarded.laptop, "show", f"v0.1.0:{path}").splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "approvals:")
    end = next(i for i in range(start + 1, len(lines)) if lines[i].strip() == "models:")
    git(guarded.laptop, "switch", "--quiet", "--detach", "v0.1.0^{commit}")
    (guarded.laptop / path).write_text("\n".join(lines[:start] + lines[end:]) + "\n")
    git(guarded.laptop, "commit", "--quiet", "-am", "Never approved")
    git(guarded.laptop, "tag", "--force", "--annotate", "-m", "v0.1.0", "v0.1.0")
    git(guarded.laptop, "push", "--quiet", "--force", "origin", "v0.1.0", "HEAD:main")
    report = deploy(guarded.person("heidi"), "production", DeployOptions(release="v0.1.0"))
    assert report.exit_code == 5
    assert "approv" in str(report.rows)
    assert guarded.live() == {}


def test_an_agent_at_work_is_not_overtaken(shop, monkeypatch):
    """It would move on to the tip in the same second."""
    from mlrelease.commands.release import rebuild

    lost(shop)
    monkeypatch.setattr(rebuild, "agent_pid", lambda state_dir: 4711)
    with pytest.raises(Error, match=r"an agent \(pid 4711\) owns production here"):
        rebuilt(shop)
    assert shop.live() == {}


def test_options_of_a_pass_go_along(shop):
    """`--service` narrows a rebuild as it narrows every deploy."""
    assert rebuilt(lost(shop), services=("a",)).exit_code == 0
    assert shop.live() == {"a": "1"}
    assert replace(DeployOptions(), release="v0.1.0").release == "v0.1.0"
