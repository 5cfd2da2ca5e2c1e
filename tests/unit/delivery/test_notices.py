"""What is news: made once from plan and history, kept until it was told, and taken back when it is well again."""

from __future__ import annotations

import json

import pytest
from mlrelease.delivery.notices import ERRORED_TRIES, KEPT, RECOVERED, Notices, notice_from_json, troubles
from mlrelease.delivery.passes import run_pass
from support.world import World

CHANNELS = ("webhook", "issue")


@pytest.fixture
def notices(deployed):
    """The notices of the small world, for two channels."""
    return Notices(deployed.site().state_dir / "notices", CHANNELS)


def note(world, notices, result):
    return notices.note(world.site(), result.plan, result.history)


def failing(world, version="2"):
    """The version is pinned, and its instances say that they are something else: it is rolled back."""
    world.bump("wine", version)
    bundle = world.desired().spec.environments["production"].services["wine"].bundle
    world.target.lie.add(bundle.id)
    return bundle


def told(notices, channel="webhook"):
    return [notice.kind for _, notice in notices.waiting(channel)]


def test_a_good_deploy_is_no_news(deployed, notices):
    """Nobody is woken for what went well."""
    deployed.bump("wine", "2")
    assert note(deployed, notices, deployed.run()) == 0
    assert (notices.open(), told(notices)) == ((), [])


def test_an_automatic_rollback_is_news_for_each_channel(deployed, notices):
    """With what was wanted, what serves, why, and the next command."""
    bundle = failing(deployed)
    result = deployed.run()
    assert note(deployed, notices, result) == 1
    ((_, notice),) = notices.waiting("webhook")
    assert [n for _, n in notices.waiting("issue")] == [notice]
    assert (notice.kind, notice.subject) == ("rolled_back", f"production/wine/{bundle.id}")
    assert (notice.environment, notice.service, notice.revision) == ("production", "wine", result.plan.revision)
    assert notice.reason == result.receipts["wine"].reason
    assert notice.after.startswith("wine 2 ")
    assert notice.before.startswith("wine 1 ")
    assert notice.next == "mlrelease rollback production --service wine --last-good"
    assert notice.title == f"production/wine: {notice.after} was rolled back automatically"
    assert notice.paths == ("environments/production/services/wine.yaml", "environments/production/models/wine.yaml")


def test_the_same_trouble_is_told_once(deployed, notices):
    """Pass after pass sees it; people know it by now, also after the agent was started again."""
    failing(deployed)
    assert note(deployed, notices, deployed.run()) == 1
    assert note(deployed, notices, deployed.run()) == 0
    again = Notices(deployed.site().state_dir / "notices", CHANNELS)
    assert note(deployed, again, deployed.run()) == 0
    assert told(again) == ["rolled_back"]


def test_a_pass_that_was_killed_before_it_told_is_made_up_for(deployed, notices):
    """The trouble stands in the history: the next pass, which does nothing, tells it."""
    failing(deployed)
    deployed.run()
    assert notices.open() == ()
    blocked = deployed.run()
    assert blocked.finished is None
    assert note(deployed, notices, blocked) == 1
    assert told(notices) == ["rolled_back"]


def test_killed_between_outbox_and_memory_it_is_the_same_message(deployed, notices):
    """The file has the same name, and the notice the same id: it is told once."""
    failing(deployed)
    result = deployed.run()
    note(deployed, notices, result)
    before = notices.waiting("webhook")
    for path in (deployed.site().state_dir / "notices" / "open").iterdir():
        path.unlink()
    assert note(deployed, notices, result) == 1
    assert notices.waiting("webhook") == before


def test_a_first_deploy_that_fails_is_news(world):
    """Nothing verified serves: the logs are the next look."""
    bundle = world.desired().spec.environments["production"].services["wine"].bundle
    world.target.wrong_through_proxy.add(bundle.id)
    notices = Notices(world.site().state_dir / "notices", CHANNELS)
    note(world, notices, world.run())
    (notice,) = notices.open()
    assert (notice.kind, notice.before, notice.next) == ("failed", "nothing", "mlrelease logs production wine")
    assert "failed, and nothing verified serves it" in notice.title


def test_errors_are_news_only_when_they_go_on(deployed, notices):
    """One that mends itself wakes nobody."""
    deployed.bump("wine", "2")
    deployed.registry.down = True
    for number in range(1, ERRORED_TRIES + 1):
        result = deployed.run()
        assert note(deployed, notices, result) == (1 if number == ERRORED_TRIES else 0), number
    (notice,) = notices.open()
    assert (notice.kind, notice.tries, notice.next) == ("errored", ERRORED_TRIES, "mlrelease plan production")
    assert f"errored {ERRORED_TRIES} times" in notice.title
    deployed.registry.down = False
    assert note(deployed, notices, deployed.run()) == 1
    assert told(notices) == ["errored", RECOVERED]


def test_trouble_that_becomes_another_is_news_again(deployed, notices):
    """First it could not be tried; tried at last, it was rolled back."""
    bundle = failing(deployed)
    deployed.registry.down = True
    for _ in range(ERRORED_TRIES):
        note(deployed, notices, deployed.run())
    deployed.registry.down = False
    assert note(deployed, notices, deployed.run()) == 1
    assert told(notices) == ["errored", "rolled_back"]
    assert {n.subject for _, n in notices.waiting("issue")} == {f"production/wine/{bundle.id}"}
    assert [n.kind for n in notices.open()] == ["rolled_back"]


def test_when_git_is_true_again_it_is_taken_back(deployed, notices):
    """The revert of the pin: what git wants is what runs."""
    failing(deployed)
    commit = deployed.desired().revision
    result = deployed.run()
    note(deployed, notices, result)
    deployed.revert(commit)
    assert note(deployed, notices, deployed.run()) == 1
    assert notices.open() == ()
    assert told(notices) == ["rolled_back", RECOVERED]
    last = notices.waiting("issue")[-1][1]
    assert (last.origin, last.next) == (result.plan.revision, "mlrelease status production")
    assert last.title == "production/wine: is well again"
    assert note(deployed, notices, deployed.run()) == 0


def test_another_bad_version_leaves_the_first_one_open(deployed, notices):
    """Until one of them serves: then both are over."""
    failing(deployed, "2")
    note(deployed, notices, deployed.run())
    failing(deployed, "3")
    note(deployed, notices, deployed.run())
    assert len(notices.open()) == 2
    deployed.bump("wine", "4")
    assert note(deployed, notices, deployed.run()) == 2
    assert notices.open() == ()


def test_a_pass_over_other_services_says_nothing_of_this_one(tmp_path):
    """`deploy --service` looks at one; the trouble of the other stays as it was told."""
    world = World(tmp_path / "w", services=("wine", "tea")).create()
    world.run()
    notices = Notices(world.site().state_dir / "notices", CHANNELS)
    failing(world)
    note(world, notices, world.run())
    assert note(world, notices, world.run(only=frozenset({"tea"}))) == 0
    assert [n.service for n in notices.open()] == ["wine"]


def test_without_a_channel_nothing_is_kept(deployed):
    """Nobody asked to be told; asked later, they are."""
    folder = deployed.site().state_dir / "notices"
    failing(deployed)
    result = deployed.run()
    assert Notices(folder, ()).note(deployed.site(), result.plan, result.history) == 0
    assert not folder.exists()
    assert Notices(folder, ("webhook",)).note(deployed.site(), result.plan, result.history) == 1


def test_a_receiver_that_is_gone_for_ever_does_not_fill_the_disk(deployed, notices):
    """The oldest messages go first."""
    out = deployed.site().state_dir / "notices" / "out"
    out.mkdir(parents=True)
    for number in range(KEPT * len(CHANNELS) + 5):
        (out / f"{number:015d}-old@webhook.json").write_text("{}")
    failing(deployed)
    note(deployed, notices, deployed.run())
    left = sorted(path.name for path in out.iterdir())
    assert len(left) == KEPT * len(CHANNELS)
    assert sum("rolled_back" in name for name in left) == 2


def test_a_torn_file_is_dropped_and_the_news_made_anew(deployed, notices):
    """As long as the trouble stands, the history knows it."""
    failing(deployed)
    note(deployed, notices, deployed.run())
    for path in (deployed.site().state_dir / "notices").rglob("*.json"):
        path.write_text('{"half":')
    assert notices.open() == ()
    assert notices.waiting("webhook") == ()
    assert note(deployed, notices, deployed.run()) == 1
    assert told(notices) == ["rolled_back"]


def test_no_secret_and_no_second_line_gets_into_a_notice(deployed):
    """A reason may quote what others said."""
    deployed.bump("wine", "2")
    deployed.registry.down = True
    for _ in range(ERRORED_TRIES):
        result = deployed.run()
    (attempt,) = result.history.attempts.values()
    from dataclasses import replace

    said = "fetch from https://user:hush@git.example.com/x?token=t0k3n failed\n::error::look here\x1b[31m"
    history = replace(result.history, attempts={key: replace(a, reason=said) for key, a in result.history.attempts.items()})
    assert attempt.count == ERRORED_TRIES
    (notice,) = troubles(deployed.site(), result.plan, history)
    assert "hush" not in notice.reason
    assert "t0k3n" not in notice.reason
    assert "\n" not in notice.reason
    assert "\x1b" not in notice.reason


def test_what_was_written_is_read(deployed, notices):
    """Through JSON and back; anything else is told apart."""
    failing(deployed)
    note(deployed, notices, deployed.run())
    (notice,) = notices.open()
    assert notice_from_json(json.loads(json.dumps(notice.to_json()))) == notice
    for damaged in ({}, {"paths": []}, {**notice.to_json(), "more": 1}, {**notice.to_json(), "paths": None}):
        with pytest.raises(ValueError, match="no notice"):
            notice_from_json(damaged)


def test_history_that_another_host_wrote_is_told_here_too(deployed, notices):
    """The host that failed may be gone: whoever looks next tells."""
    failing(deployed)
    deployed.run()
    site = deployed.site(clone=deployed.laptop)
    from mlrelease.delivery.source import fetch

    fetch(site.git, site.branch)
    result = run_pass(site, deployed.desired(), deployed.order(impatient=False))
    assert notices.note(site, result.plan, result.history) == 1
