"""The agent and those who ask it: who owns an environment, what a request may be, what comes back, and when it ends."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import replace

import pytest
from mlrelease.delivery import agent as agents
from mlrelease.delivery.agent import ANSWERS_KEPT, Agent, Answer, Request, agent_pid, hand_over, ownership, watch
from mlrelease.errors import Error
from mlrelease.model.beat import beat_from_json
from support.place import FaultyTarget, Place

ASKED = Request("01A", "ada", "run-9")


@pytest.fixture
def state(place):
    """The state folder of the small place."""
    return place.site().state_dir


def agent_of(place, lines=None):
    return Agent(
        open_desired=lambda: (place.site(), place.desired()),
        order=place.order(impatient=False),
        describe=lambda result: {"services": sorted(result.receipts)},
        report=(lines if lines is not None else []).append,
    )


def ask(state, **changes):
    """Puts a request where `hand_over` puts it."""
    body = {"id": "01A", "actor": "ada", "run_id": "run-9", "only": [], "allow": False, "trigger": "deploy"} | changes
    path = state / "requests" / f"{body['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body))
    return path


def answered(state, name="01A"):
    path = state / "answers" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_one_process_owns_an_environment_and_is_named(tmp_path):
    """While it does, nobody else can; afterwards there is no agent."""
    state = tmp_path / "new" / "state"
    assert agent_pid(state) == 0
    with ownership(state) as owned:
        assert owned
        assert agent_pid(state) == os.getpid()
        with ownership(state) as second:
            assert not second
        assert agent_pid(state) == os.getpid()
    assert agent_pid(state) == 0


def test_a_pid_that_was_left_behind_is_no_agent(tmp_path):
    """The file of a killed agent stays; the lock says whether it lives. The next one writes its own pid alone."""
    (tmp_path / "agent.lock").write_text("4194304")
    assert agent_pid(tmp_path) == 0
    with ownership(tmp_path) as owned:
        assert owned
        assert (tmp_path / "agent.lock").read_text() == str(os.getpid())


def test_who_only_looks_does_not_keep_an_agent_from_beginning(tmp_path, monkeypatch):
    """To look takes the lock for a moment; an agent that begins in that moment waits for it to pass."""
    with ownership(tmp_path):
        pass
    looker = (tmp_path / "agent.lock").open("r+")
    fcntl.flock(looker, fcntl.LOCK_EX)
    waits = []

    def pause(seconds):
        waits.append(seconds)
        looker.close()

    monkeypatch.setattr(agents.time, "sleep", pause)
    with ownership(tmp_path) as owned:
        assert owned
    assert len(waits) == 1


def test_an_agent_answers_what_was_asked_before_its_pass(place, state):
    """With the exit code of the pass and what `deploy` prints; the request is gone."""
    path = ask(state)
    assert agent_of(place).once() == 0
    assert answered(state) == {"exit_code": 0, "error": "", "hint": "", "result": {"services": ["wine"]}}
    assert not path.exists()
    started = place.ledger.told[0]
    assert (started.actor, started.run_id, started.trigger) == ("ada", "run-9", "deploy")


def test_a_pass_that_ended_in_an_error_is_the_answer(place, state):
    """With the way out, so that whoever waits can go on."""
    place.ledger.broken = "X does not follow Y"
    ask(state)
    assert agent_of(place).once() == 1
    assert answered(state) == {
        "exit_code": 1,
        "error": "the ledger of production does not hold together: X does not follow Y",
        "hint": "push the true branch back from a backup, then here: git update-ref -d refs/mlrelease/remote/ledger",
        "result": {},
    }


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([{}], ("ada", "deploy", frozenset(), False)),
        ([{"only": ["wine"], "allow": True}], ("ada", "deploy", frozenset({"wine"}), True)),
        ([{"only": ["wine"]}, {"only": ["wine"]}], ("ada", "deploy", frozenset({"wine"}), False)),
        ([{"only": ["wine"]}, {"only": ["tea"]}], ("ada", "deploy", frozenset(), False)),
        ([{"allow": True}, {}], ("ada", "deploy", frozenset(), False)),
        ([{"allow": True}, {"allow": True}], ("ada", "deploy", frozenset(), True)),
        ([{"trigger": "rollback"}, {"trigger": "rollback"}], ("ada", "rollback", frozenset(), False)),
        ([{"trigger": "rollback"}, {}], ("ada", "deploy", frozenset(), False)),
        ([{}, {"actor": "bob", "run_id": "later"}], ("ada", "deploy", frozenset(), False)),
    ],
    ids=[
        "one request is the pass",
        "narrowed and allowed as it asks",
        "two for the same service are one narrow pass",
        "two for different services are one of all",
        "removals need the word of everybody",
        "and have it",
        "two rollbacks are a rollback",
        "a rollback beside a deploy is a deploy",
        "the first who asked is the actor",
    ],
)
def test_one_pass_for_all_who_wait(place, state, monkeypatch, requests, expected):
    """A person waits, so it is impatient; it dares no more than the most careful of them."""
    for number, changes in enumerate(requests):
        ask(state, id=f"01A{number}", **changes)
    orders = []
    monkeypatch.setattr(agents, "run_pass", lambda site, desired, order: orders.append(order) or place.run())
    agent_of(place).once()
    (order,) = orders
    assert (order.actor, order.trigger, order.only, order.removals_allowed) == expected
    assert (order.run_id, order.impatient) == ("run-9", True)
    assert all(answered(state, f"01A{n}")["exit_code"] == 0 for n in range(len(requests)))


HOSTILE = {
    "torn": '{"id": "01A", "act',
    "empty": "",
    "no object": '["01A"]',
    "null": "null",
    "a part is missing": '{"id": "01A"}',
    "services are null": '{"id": "01A", "actor": "a", "run_id": "r", "only": null, "allow": false}',
    "services are one word": '{"id": "01A", "actor": "a", "run_id": "r", "only": "wine", "allow": false}',
    "services are numbers": '{"id": "01A", "actor": "a", "run_id": "r", "only": [1], "allow": false}',
    "the actor is a list": '{"id": "01A", "actor": ["a"], "run_id": "r", "only": [], "allow": false}',
    "of another id": '{"id": "../../etc/x", "actor": "a", "run_id": "r", "only": [], "allow": false}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_request_is_dropped_and_the_pass_goes_on(place, state, content):
    """An agent that ended over it would end over it again at every start."""
    path = ask(state)
    path.write_text(content)
    order = agent_of(place)
    assert order.once() == 0
    assert not path.exists()
    assert answered(state) is None
    assert place.ledger.told[0].actor == "ada", "the agent's own order"
    assert [p.name for p in state.rglob("x*")] == []


def test_a_request_that_cannot_even_be_dropped_stops_nothing(place, state):
    """A folder of that name: the pass is done all the same."""
    (state / "requests" / "01A.json" / "full").mkdir(parents=True)
    assert agent_of(place).once() == 0
    assert place.live()


def test_old_answers_go_and_the_newest_stay(place, state):
    """Nobody collects some of them: whoever asked has gone."""
    agent = agent_of(place)
    for number in range(ANSWERS_KEPT + 3):
        ask(state, id=f"01A{number:03}")
    agent.once()
    left = sorted(path.stem for path in (state / "answers").iterdir())
    assert left == [f"01A{number:03}" for number in range(3, ANSWERS_KEPT + 3)]


def test_who_hands_over_gets_what_the_pass_came_to(place, state):
    """The request is written for the agent as it was asked, and its answer read back."""
    done = threading.Event()

    def work():
        agent = agent_of(place)
        while not done.is_set():
            if list((state / "requests").glob("*.json")):
                agent.once()
                return

    with ownership(state):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            answer = hand_over(state, replace(ASKED, only=("wine",), removals_allowed=True, trigger="rollback"))
        finally:
            done.set()
            thread.join(30)
    assert answer == Answer(0, "", "", {"services": ["wine"]})
    assert (place.ledger.told[0].trigger, place.ledger.told[0].services) == ("rollback", ("wine",))
    assert list((state / "requests").iterdir()) == []


def test_without_an_agent_the_request_is_taken_back(state):
    """Nobody would ever answer, and the next agent must not do what nobody waits for any more."""
    with pytest.raises(Error) as caught:
        hand_over(state, ASKED)
    assert (caught.value.message, caught.value.hint) == (
        "the agent ended before it answered",
        "run this again: without an agent it deploys itself",
    )
    assert list((state / "requests").iterdir()) == []


def test_an_agent_that_answers_and_ends_has_answered(state, monkeypatch):
    """The answer was its last word: it is there when the agent is seen to be gone."""

    def ends(folder):
        path = folder / "answers" / "01A.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"exit_code": 6, "error": "", "hint": "", "result": {"done": 1}}))
        return 0

    monkeypatch.setattr(agents, "agent_pid", ends)
    assert hand_over(state, ASKED) == Answer(6, "", "", {"done": 1})


def test_an_agent_that_does_not_answer_is_named(state, monkeypatch):
    """After the deadline: its pid, and where to look."""
    monkeypatch.setattr(agents, "DEADLINES_S", {"agent.answer": 0.0})
    with ownership(state), pytest.raises(Error) as caught:
        hand_over(state, ASKED)
    assert caught.value.message == f"the agent (pid {os.getpid()}) did not answer in 0 s"
    assert caught.value.hint == "what it is doing stands in its log"


def test_two_agents_do_not_watch_one_environment(place, state):
    """The second one says who is there, and makes no pass."""
    with ownership(state), pytest.raises(Error) as caught:
        watch([agent_of(place)], [state], interval_s=0.0, stop=lambda: False)
    assert caught.value.message == f"another agent owns this environment (pid {os.getpid()})"
    assert caught.value.hint == f"its state is in {state}"
    assert place.ledger.told == []


def test_watching_goes_round_until_it_is_to_stop(tmp_path, place):
    """Every environment in its turn; once it is to stop no further pass begins, and the claims are given back."""
    places = [place, Place(tmp_path / "second", names=("tea",), target=FaultyTarget())]
    states = [one.site().state_dir for one in places]
    seen = []

    def opened(one):
        seen.append(one.names[0])
        return one.site(), one.desired()

    made = [replace(agent_of(one), open_desired=lambda one=one: opened(one)) for one in places]
    watch(made, states, interval_s=0.0, stop=lambda: len(seen) >= 5)
    assert seen == ["wine", "tea", "wine", "tea", "wine"]
    assert [agent_pid(state) for state in states] == [0, 0]


def test_a_request_ends_the_pause(place, state):
    """Nobody waits for the interval: the next pass is made at once."""
    passes = []

    def describe(result):
        passes.append(result)
        ask(state)  # somebody asks while the pass is made
        return {}

    agent = replace(agent_of(place), describe=describe)
    watch([agent], [state], interval_s=3600.0, stop=lambda: len(passes) == 2)
    assert answered(state) is not None


def test_the_line_says_each_service_and_is_not_repeated(place):
    """Receipts first, then what is blocked; the same again is not said again, except after something was done."""
    lines = []
    agent = agent_of(place, lines)
    agent.once()
    agent.once()
    agent.once()
    place.registry.down = True
    place.bump("wine", "2")
    place.clock += 3600
    agent.once()
    assert lines == [
        "production at r1: wine succeeded",
        "production at r1: nothing to do",
        "production at r2: wine errored",
    ]


def test_what_was_done_again_is_said_again(place):
    """Two repairs are two lines, though they read the same."""
    lines = []
    agent = agent_of(place, lines)
    for _ in range(3):
        agent.once()
        place.target.instances.pop(next(iter(place.target.instances)))
    assert lines == ["production at r1: wine succeeded"] * 3


def test_a_host_that_does_not_answer_is_said_in_the_line(place):
    """The pass was made on the last known tip."""
    lines = []
    agent = replace(agent_of(place, lines), open_desired=lambda: (place.site(), place.desired(online=False)))
    agent.once()
    assert lines == ["production at r1: wine succeeded (git host does not answer)"]


@pytest.mark.parametrize("error", [Error("no such branch"), OSError("no such branch")], ids=["said", "raw"])
def test_files_that_cannot_be_read_end_no_agent(place, error):
    """It says so in its line and, once it knows where, in its heartbeat; secrets in addresses stay out of both places."""
    agent = agent_of(place)
    agent.once()

    def broken():
        raise type(error)("cannot read https://ada:hush@git.example.com/x?token=t0k")

    agent.open_desired = broken
    place.clock += 1
    assert agent.once() == 1
    beat = beat_from_json(place.ledger.beats["production"])
    assert (beat.revision, beat.exit_code, beat.says_all) == ("", 1, False)
    assert beat.verdict == "cannot read https://git.example.com/x"


def test_a_full_disk_is_an_answer_and_not_an_end(place, state, monkeypatch):
    """Raw errors of the operating system are reported like any other."""
    ask(state)
    place.target.faults["look"] = [OSError(28, "No space left on device")]
    assert agent_of(place).once() == 1
    assert (answered(state)["error"], answered(state)["hint"]) == ("[Errno 28] No space left on device", "")


def test_an_answer_that_cannot_be_written_is_only_logged(place, state):
    """The pass was done; the next look is made."""
    ask(state)
    (state / "answers").write_text("a file lies here")
    assert agent_of(place).once() == 0
    assert place.live()
