"""`logs`, `predict` and `down`: what runs on this host is looked into, asked and ended; each refusal names the way out."""

from __future__ import annotations

import copy
import io
import json
import sys
from dataclasses import replace

import pytest
from mlrelease.commands.inspect import down, logs, predict
from mlrelease.delivery.agent import ownership
from mlrelease.errors import Error, UsageError
from mlrelease.model.live import Answer
from mlrelease.registries.cache import ArtifactCache
from mlrelease.spec.edit import set_scalar
from support.desk import desk
from support.fake_target import FakeTarget
from support.newcomer import text
from support.pair import identity
from support.world import MODEL, World

pytestmark = pytest.mark.xdist_group("inspected")


class Answering(FakeTarget):
    """A target whose proxy answers as it is told, and keeps what it was asked. An exception is raised."""

    says = Answer(200, {}, b'{"predictions": [1.0]}')

    def ask_service(self, service, method, path, body=b"", *, timeout_s, headers=None):
        self.last = (service, method, path, json.loads(body), headers)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`wine` has one model and runs."""
    with identity():
        world = World(tmp_path_factory.mktemp("inspected") / "w").create()
        world.run()
        return world


@pytest.fixture
def world(made):
    """The same repository, with a target of its own: nothing here writes to git."""
    target = Answering()
    for name, value in vars(copy.deepcopy(made.target)).items():
        setattr(target, name, value)
    return replace(made, target=target)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """One service with twelve models, deployed."""
    with identity():
        world = World(tmp_path_factory.mktemp("inspected") / "f").create()
        pins = [world.pin(f"m{number:02}", "1", golden=False) for number in range(11)]
        golden = {"schema": 1, "payload": {"inputs": [[1.0]]}, "predictions": [1.0]}
        world.site().ledger.put_goldens([(pin.digest, golden) for pin in pins])
        for pin in pins:
            name = pin.name
            base = MODEL.format(name=name, version="1", digest=pin.digest).encode()
            world.model_file(name).write_bytes(set_scalar(base, ("service",), "wine"))
        world.commit("More models")
        world.run()
        return world


def ask(world, data="", *, model="", service="wine"):
    return predict(desk(world), "production", service, data=data, model=model)


# -- logs --------------------------------------------------------------------------------------------------------------


def test_the_lines_of_every_instance_stand_behind_its_id(world, capsys):
    """Sorted by instance, each with its last lines in their order; one that said nothing has none."""
    for name, lines in (("wine-2", ("c", "d\x1b[2J")), ("wine-1", ("a", "b", "x"))):
        world.target.instances[name] = replace(world.target.instances[name], log_tail=lines)
    report = logs(desk(world), "production", "wine", lines=2)
    assert report.data["logs"] == {"wine-1": ["b", "x"], "wine-2": ["c", "d\x1b[2J"]}
    assert text(report, capsys) == (
        "production: 2 instances of wine\n  wine-1  b\n  wine-1  x\n  wine-2  c\n  wine-2  d\\x1b[2J\nexit 0\n"
    )


@pytest.mark.parametrize(
    ("gone", "hint"), [(False, "services here: wine"), (True, "services here: none")], ids=["another runs", "none runs"]
)
def test_a_service_without_an_instance_is_an_error_that_names_those_with_one(world, gone, hint):
    """A typo, or one that never started here."""
    if gone:
        world.target.down()
    with pytest.raises(Error) as refused:
        logs(desk(world), "production", "beer", lines=5)
    assert (refused.value.message, refused.value.hint) == ("no instance of 'beer' on this host", hint)


@pytest.mark.parametrize(
    "verb",
    [lambda at: logs(at, "production", "wine", lines=1), lambda at: predict(at, "production", "wine", data="1", model="")],
    ids=["logs", "predict"],
)
def test_elsewhere_there_is_nothing_to_look_into(world, verb):
    """With the folder that would be there, and the verb that brings it."""

    class Elsewhere(type(desk(world))):
        def site(self, environment):
            return replace(self.world.site(), runs_here=False)

    person = desk(world)
    away = Elsewhere(person.git, person.branch, person.actor, person.run_id, person.variables, world)
    with pytest.raises(Error) as refused:
        verb(away)
    assert refused.value.message == f"production does not run on this host (no {world.root / 'state'})"
    assert refused.value.hint == "mlrelease deploy production"


def test_an_environment_that_is_none_is_usage(world):
    """Of each verb, before any target is looked at."""
    for verb in (
        lambda: logs(desk(world), "prod", "wine", lines=1),
        lambda: predict(desk(world), "prod", "wine", data="1", model=""),
        lambda: down(desk(world), "prod"),
    ):
        with pytest.raises(UsageError, match="there is no environment 'prod'"):
            verb()
    assert len(world.target.instances) == 2


# -- predict -----------------------------------------------------------------------------------------------------------


def test_a_prediction_is_asked_as_a_client_does(world, capsys):
    """Through the proxy, as JSON; the answer and who gave it are shown, other headers are not."""
    headers = {
        "x-model-version": "1",
        "x-bundle": "0123456789ab",
        "x-revision": "abc",
        "x-request-id": "r-1",
        "server": "envoy",
        "set-cookie": "s3cret",
    }
    world.target.says = Answer(200, headers, b'{"predictions": [5.5]}')
    report = ask(world, '{"inputs": [[1]]}')
    asked = world.target.last
    assert asked == ("wine", "POST", "/invocations", {"inputs": [[1]]}, {"Content-Type": "application/json"})
    assert report.data["headers"] == {name: headers[name] for name in headers if name.startswith("x-")}
    assert report.data["answer"] == {"predictions": [5.5]}
    assert text(report, capsys) == (
        'production: wine answered 200\n  {"predictions": [5.5]}\n  x-model-version: 1\n  x-bundle: 0123456789ab\n'
        "  x-revision: abc\n  x-request-id: r-1\nexit 0\n"
    )


@pytest.mark.parametrize(("status", "code"), [(199, 1), (200, 0), (204, 0), (299, 0), (300, 1), (400, 1), (503, 1)])
def test_only_an_answer_of_2xx_ends_well(world, status, code):
    """The answer is shown either way."""
    world.target.says = Answer(status, {}, b'"said"')
    report = ask(world, "1")
    assert (report.exit_code, report.data["status"], report.data["answer"]) == (code, status, "said")


@pytest.mark.parametrize(
    ("body", "answer"),
    [(b"<html>no</html>", "<html>no</html>"), (b"\xff\xfe", "\ufffd\ufffd"), (b"x" * 900, "x" * 500), (b"", "")],
    ids=["a page", "bytes", "a long one", "nothing"],
)
def test_an_answer_that_is_no_json_is_shown_as_text(world, body, answer):
    """Cut where nobody reads on."""
    world.target.says = Answer(502, {}, body)
    assert ask(world, "1").data["answer"] == answer


def test_a_long_answer_is_whole_in_json_and_cut_for_people(world):
    """Ten thousand predictions are no line."""
    values = list(range(10_000))
    world.target.says = Answer(200, {}, json.dumps({"predictions": values}).encode())
    report = ask(world, "1")
    assert report.data["answer"]["predictions"] == values
    assert len(report.details[0]) == 2000


def test_a_proxy_that_does_not_answer_is_an_error(world):
    """With the address, and the verb that looks."""
    world.target.says = ConnectionRefusedError("refused")
    with pytest.raises(Error) as failed:
        ask(world, "1")
    assert (failed.value.message, failed.value.hint) == (
        "nothing answers at http://127.0.0.1:8080: refused", "mlrelease status production",
    )  # fmt: skip


def test_without_data_the_versions_own_example_is_sent(world):
    """The payload of its golden predictions, as the ledger keeps it."""
    assert ask(world).exit_code == 0
    assert world.target.last[2:4] == ("/invocations", {"inputs": [[1.0]]})


def test_of_a_service_that_was_never_deployed_no_example_is_known(world):
    """Which is not the same as a model without one."""
    with pytest.raises(Error) as refused:
        ask(world, service="beer")
    assert (refused.value.message, refused.value.hint) == (
        "'beer' was never deployed in production", "mlrelease status production names what runs",
    )  # fmt: skip


def test_of_several_models_one_has_to_be_named(fleet):
    """Ten of them are, with how many more; the hint is a command's end that works."""
    with pytest.raises(UsageError) as refused:
        ask(fleet, "1")
    named = ", ".join(f"m{number:02}" for number in range(10))
    assert refused.value.message == f"wine answers for 12 models: {named} and 2 more"
    assert refused.value.hint == "name one: --model m00"


def test_a_named_model_is_asked_at_its_own_path(fleet, capsys):
    """With its own example."""
    report = ask(fleet, model="m03")
    assert (report.exit_code, report.data["answer"]) == (0, {"predictions": [1.0]})


def test_a_model_that_the_service_does_not_have_is_usage(fleet):
    """Where no data says that somebody else may know it."""
    with pytest.raises(UsageError) as refused:
        ask(fleet, model="m99")
    assert refused.value.message == "wine has no model 'm99'"
    assert refused.value.hint == "models there: " + ", ".join(f"m{number:02}" for number in range(10))


def test_a_version_without_an_example_wants_data(world):
    """The artifact is not in the cache of this host any more: nobody has its example."""
    away = ArtifactCache(world.root / "nowhere")

    class Empty(type(desk(world))):
        def site(self, environment):
            return replace(self.world.site(), cache=away)

    person = desk(world)
    empty = Empty(person.git, person.branch, person.actor, person.run_id, person.variables, world)
    with pytest.raises(UsageError) as refused:
        predict(empty, "production", "wine", data="", model="")
    assert refused.value.message == "wine has no input example to send"
    assert refused.value.hint == "give the data: --data '{\"inputs\": [[…]]}' or --data @FILE"


@pytest.mark.parametrize("data", ["@{file}", "-", '{{"inputs": [[2]]}}'], ids=["a file", "standard input", "the words"])
def test_data_comes_from_three_places(world, tmp_path, monkeypatch, data):
    """And is the same."""
    file = tmp_path / "data.json"
    file.write_text('{"inputs": [[2]]}')
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"inputs": [[2]]}\n'))
    ask(world, data.format(file=file))
    assert world.target.last[3] == {"inputs": [[2]]}


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ("{", "--data is not JSON: ", "for example --data '{\"inputs\": [[…]]}'"),
        ("-", "standard input is not JSON: ", "for example --data '{\"inputs\": [[…]]}'"),
        ("@{folder}/bad", "{folder}/bad is not JSON: ", "for example --data '{\"inputs\": [[…]]}'"),
        ("@{folder}/gone", "{folder}/gone cannot be read: No such file", "--data @FILE, or --data - for standard input"),
        ("@{folder}", "{folder} cannot be read: Is a directory", "--data @FILE, or --data - for standard input"),
        ("@{folder}/bytes", "{folder}/bytes is not JSON: ", "for example --data '{\"inputs\": [[…]]}'"),
        ("@", "--data @ cannot be read: Is a directory", "--data @FILE, or --data - for standard input"),
    ],
    ids=["half a word", "an empty input", "a file of another kind", "no file", "a folder", "bytes", "no name"],
)
def test_data_that_cannot_be_used_names_its_place(world, tmp_path, monkeypatch, data, message, hint):
    """Nothing is sent."""
    (tmp_path / "bad").write_text("inputs: 1")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    said = data.replace("{folder}", str(tmp_path))
    with pytest.raises(UsageError) as refused:
        ask(world, said)
    assert message.replace("{folder}", str(tmp_path)) in refused.value.message
    assert refused.value.hint == hint
    assert not hasattr(world.target, "last")


# -- down --------------------------------------------------------------------------------------------------------------


def test_down_ends_everything_and_says_how_to_come_back(world, capsys):
    """The second time there is nothing to end; the ledger and the cache stay."""
    height = world.history().height
    report = down(desk(world), "production")
    assert text(report, capsys) == ("production is down: 2 instances ended\nnext: mlrelease deploy production\nexit 0\n")
    assert (world.target.instances, world.target.routes) == ({}, {})
    assert down(desk(world), "production").data == {"environment": "production", "ended": 0}
    assert world.history().height == height
    assert any((world.root / "state" / "cache").iterdir())


def test_down_is_refused_while_an_agent_would_bring_it_up_again(world):
    """With its pid, and how to stop it."""
    import os

    with ownership(world.root / "state"), pytest.raises(Error) as refused:
        down(desk(world), "production")
    assert refused.value.message == f"an agent (pid {os.getpid()}) owns production and would bring it up again"
    assert refused.value.hint == f"stop it first: kill {os.getpid()}"
    assert len(world.target.instances) == 2


def test_down_of_what_does_not_run_here_makes_no_folder(world, capsys):
    """Exit 0: it is as it was asked to be."""
    away = world.root / "elsewhere"

    class Laptop(type(desk(world))):
        def site(self, environment):
            return replace(self.world.site(), state_dir=away)

    person = desk(world)
    laptop = Laptop(person.git, person.branch, person.actor, person.run_id, person.variables, world)
    assert text(down(laptop, "production"), capsys) == "production does not run on this host: nothing to do\nexit 0\n"
    assert not away.exists()
