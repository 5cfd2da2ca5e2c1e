"""The agent's sign of life: what it says, when it says it at once, and what it says when something is wrong."""

from __future__ import annotations

import pytest
from mlrelease.delivery.agent import Agent, Request
from mlrelease.delivery.passes import ROLLBACK
from mlrelease.errors import Error
from mlrelease.model.beat import BEAT_S, Blocked, beat_from_json
from support.world import World, git


@pytest.fixture
def agent(world):
    """The agent of the small world, in this process; its lines are kept."""
    return agent_of(world)


def agent_of(world, lines=None):
    said = [] if lines is None else lines
    return Agent(
        open_desired=lambda: (world.site(), world.desired()),
        order=world.order(impatient=False),
        describe=lambda result: {"revision": result.plan.revision},
        report=said.append,
    )


def heard(world):
    """What the world hears of the agent, from another clone."""
    data = world.site(clone=world.laptop).ledger.heartbeat("production")
    return None if data is None else beat_from_json(data)


def test_after_the_first_pass_it_says_what_came_of_it(world, agent):
    """Revision, height of the ledger, words by service as they are after the pass, exit code."""
    assert heard(world) is None
    assert agent.once() == 0
    beat = heard(world)
    assert (beat.revision, beat.height, beat.exit_code) == (world.desired().revision, world.history().height, 0)
    assert (beat.sync, beat.health, beat.blocked) == ({"wine": "InSync"}, {"wine": "Healthy"}, {})
    assert "wine succeeded" in beat.verdict


def test_a_tip_that_changes_nothing_is_said_at_once(world, agent):
    """Somebody may wait for exactly that; no receipt is written for it."""
    agent.once()
    height = world.history().height
    tip = world.commit("Only words")
    world.clock += 1.0
    agent.once()
    beat = heard(world)
    assert (beat.revision, beat.verdict) == (tip, f"production at {tip[:9]}: nothing to do")
    assert beat.at == world.clock
    assert world.history().height == height


def test_with_nothing_new_it_speaks_once_a_minute(world, agent):
    """A push at every look would be noise."""
    agent.once()
    agent.once()  # "succeeded" becomes "nothing to do"
    first = heard(world)
    world.clock += BEAT_S - 1
    agent.once()
    assert heard(world) == first
    world.clock += 1
    agent.once()
    assert heard(world).at == first.at + BEAT_S


def test_a_word_in_the_ledger_is_answered_at_once(world, agent):
    """It has read it: who waits for an approval to be taken up sees that from the height."""
    from mlrelease.model.event import Held

    agent.once()
    agent.once()
    before = heard(world)
    world.site().ledger.append([Held(world.ids(), "production", world.clock, "ann", "freeze")])
    world.clock += 1.0
    agent.once()
    assert heard(world).height == before.height + 1


def test_what_blocks_is_said_by_name(world, agent):
    """And the exit code that `deploy` would have had."""
    agent.once()
    from mlrelease.commands.words import hold
    from support.desk import desk

    hold(desk(world), "production", service="wine", reason="quarter end", until=0.0)
    world.bump("wine", "2")
    world.clock += 1.0
    assert agent.once() == 5
    beat = heard(world)
    assert (beat.exit_code, beat.sync) == (5, {"wine": "OutOfSync"})
    assert beat.blocked["wine"] == Blocked("hold", "held by Ada <ada@example.com>: quarter end")


def test_an_automatic_rollback_is_said_with_its_code_then_with_what_stands(world, agent):
    """Six once; afterwards git still wants what was rejected, which is five."""
    agent.once()
    world.bump("wine", "2")
    bundle = world.desired().spec.environments["production"].services["wine"].bundle
    world.target.lie.add(bundle.id)
    world.clock += 1.0
    assert agent.once() == 6
    beat = heard(world)
    assert (beat.exit_code, beat.sync, beat.height) == (6, {"wine": "OutOfSync"}, world.history().height)
    world.clock += 1.0
    assert agent.once() == 5
    assert heard(world).blocked["wine"].by == "rejected"


def test_a_pass_that_ends_in_an_error_is_said_too(world, agent):
    """The agent lives, and its host has a problem: no words by service, so nobody takes them for a confirmation."""
    agent.once()
    first = git(world.laptop, "rev-parse", "HEAD~1")
    git(world.laptop, "push", "--quiet", "--force", "origin", f"{first}:main")
    world.clock += 1.0
    assert agent.once() == 1
    beat = heard(world)
    assert (beat.revision, beat.exit_code, beat.sync) == (first, 1, {})
    assert "older than what was applied here" in beat.verdict


def test_files_that_cannot_be_read_do_not_look_like_a_dead_agent(world):
    """It says that it lives, of no revision."""
    broken = []

    def open_desired():
        if broken:
            raise Error("production cannot be read: https://token@git.example.com/x refused")
        return world.site(), world.desired()

    agent = agent_of(world)
    agent.open_desired = open_desired
    agent.once()
    broken.append(True)
    world.clock += 1.0
    assert agent.once() == 1
    beat = heard(world)
    assert (beat.revision, beat.exit_code, beat.at) == ("", 1, world.clock)
    assert "cannot be read" in beat.verdict
    assert "token" not in beat.verdict


def test_an_agent_that_never_read_anything_says_nothing(world):
    """It does not know where; its own lines say so."""
    lines = []
    agent = agent_of(world, lines)

    def open_desired():
        raise Error("there is no commit on origin/main")

    agent.open_desired = open_desired
    assert agent.once() == 1
    assert heard(world) is None
    assert lines == ["cannot read what git wants: there is no commit on origin/main"]


def test_what_was_not_heard_is_said_again_at_the_next_look(world, agent):
    """The git host was away when it spoke: the minute does not begin before somebody heard it."""
    agent.once()
    agent.once()
    tip = world.commit("Only words")
    origin = world.root / "origin.git"
    desired = world.desired()
    agent.open_desired = lambda: (world.site(), desired)
    site = world.site()
    agent.open_desired = lambda: (site, desired)
    origin.rename(world.root / "away.git")
    world.clock += 1.0
    agent.once()
    (world.root / "away.git").rename(origin)
    assert heard(world).revision != tip
    world.clock += 1.0
    agent.once()
    assert heard(world).revision == tip


def test_a_request_says_what_kind_of_pass_it_wants(world, agent):
    """A rollback that a person asked for is one for the agent too, so that it waits for nobody to tell the order."""
    import threading

    from mlrelease.delivery.agent import _for, _requests, hand_over

    agent.once()
    folder = world.site().state_dir
    (folder / "requests").mkdir(exist_ok=True)
    ask = threading.Thread(target=_ignore, args=(hand_over, folder, Request("R1", "ann", "run", trigger=ROLLBACK)))
    ask.start()
    ask.join()  # nobody owns the environment: the asker gives up, and its request is taken back
    assert _requests(folder) == []
    requests = [Request("R1", "ann", trigger=ROLLBACK), Request("R2", "bob", trigger=ROLLBACK)]
    assert _for(agent.order, requests).trigger == ROLLBACK
    assert _for(agent.order, [*requests, Request("R3", "cy")]).trigger == "deploy"


def _ignore(work, *arguments):
    with pytest.raises(Error, match="ended before it answered"):
        work(*arguments)


def test_a_request_of_an_older_program_is_a_deploy(world):
    """It names no kind."""
    import json

    from mlrelease.delivery.agent import _requests

    folder = world.site().state_dir / "requests"
    folder.mkdir()
    body = {"id": "R1", "actor": "ann", "run_id": "", "only": [], "allow": False}
    (folder / "R1.json").write_text(json.dumps(body))
    assert _requests(world.site().state_dir) == [Request("R1", "ann")]


def test_two_worlds_do_not_share_a_heartbeat(tmp_path, world, agent):
    """It lies in the repository that the agent watches."""
    other = World(tmp_path / "other").create()
    agent.once()
    assert heard(other) is None
