"""What a record takes from the ledger and MLflow, and what proves it later: chain, receipts and approvals, without a world."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.release.evidence import METRICS_KEPT, Known, Seen, record_of
from mlrelease.commands.release.proofs import of_ledger
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.ledger.chain import grown, link
from mlrelease.model.bundle import Digest, ImagePin
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import Approved, ServiceReceipt
from mlrelease.model.event_json import event_to_json
from mlrelease.model.gate import GateSpec
from mlrelease.model.release import ApprovedBy, ReleasedEnvironment, ReleasedModel, ReleasedService
from mlrelease.model.version import VersionFacts
from mlrelease.model.when import iso
from support.core import START, Story, absent, bundle, environment, image, model, service

ENV = environment(service(models={"A": "8"}))
SEVEN, EIGHT = (bundle(models={"A": version}) for version in "78")


def story(*outcomes: Outcome, after=EIGHT, name="risk") -> Story:
    """An approval of version 8, and one pass about it for each outcome."""
    told = Story()
    terms = {"before": (), "after": tuple(sorted(EIGHT.components().items())), "approver": "grace", "expires_at": 2e9}
    told.tell(Approved, service="risk", run_url="https://ci/7", **terms)
    for outcome in outcomes:
        gates = ({"gate": "exists", "component": "model:A", "status": "passed"},)
        receipt = ServiceReceipt(outcome, ChangeKind.CREATE, Direction.FORWARD, "", None, after, gate_results=gates)
        told.finish({name: replace(receipt, exercised=("model",))}, revision="c0ffee")
    return told


def chained(told: Story):
    """The events as files of the ledger, read again."""
    contents = [event_to_json(event) for event in told.events]
    return tuple(
        link("production", path.rpartition("/")[2], data) for path, data in grown("production", (), contents, told.now)
    )


def seen(told: Story, spec=ENV, **known) -> Seen:
    return Seen(spec, fold("production", told.events), tuple(told.events), "observed", chained(told), Known(**known))


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_a_service_is_recorded_with_all_that_proves_it():
    """The whole value: receipt, moment, revision, gates, approval, run, logged model, day, metrics, height and head."""
    told = story(Outcome.SUCCEEDED)
    pin = model("A", "8")
    facts = VersionFacts("A", "8", "READY", "s3://a/8", run_id="r1", model_id="m1", created_at=START)
    links = chained(told)
    assert record_of(seen(told, facts={pin: facts}, metrics={pin: {"rmse": 1.5}})) == ReleasedEnvironment(
        name="production",
        checked="observed",
        height=2,
        head=Digest(links[-1].digest),
        services={
            "risk": ReleasedService(
                name="risk",
                bundle=EIGHT.id,
                image=image("1"),
                models=(ReleasedModel(pin, "r1", "m1", iso(START), {"exists": "passed"}, {"rmse": 1.5}),),
                receipt="e2",
                verified_at=iso(told.now),
                revision="c0ffee",
                exercised=("model",),
                approvals=(ApprovedBy("e1", "grace", iso(START + 60.0), "https://ci/7"),),
            )
        },
    )


def test_what_mlflow_does_not_know_is_left_empty():
    """Its facts are gone, or it has no day: nothing is made up."""
    (found,) = record_of(seen(story(Outcome.SUCCEEDED))).services["risk"].models
    assert (found.run_id, found.model_id, found.registered_at, found.metrics) == ("", "", "", {})
    undated = VersionFacts("A", "8", "READY", "s3://a/8")
    (found,) = record_of(seen(story(Outcome.SUCCEEDED), facts={model("A", "8"): undated})).services["risk"].models
    assert found.registered_at == ""


def test_of_thousands_of_metrics_some_are_kept_and_always_those_of_gates():
    """The first by name, and the one that a gate names, however late it comes."""
    gate = GateSpec("metric", options={"metric": "zz"})
    one = service(models={"A": "8"})
    gated = environment(replace(one, models=(replace(one.models[0], gates=(gate,)),)))
    metrics = {f"m{number:04}": float(number) for number in range(1000)} | {"zz": 0.5, "zy": 0.4}
    (found,) = record_of(seen(story(Outcome.SUCCEEDED), gated, metrics={model("A", "8"): metrics})).services["risk"].models
    assert found.metrics == {f"m{number:04}": float(number) for number in range(METRICS_KEPT)} | {"zz": 0.5}


def test_settings_are_recorded_by_name_and_what_is_absent_is_not():
    """Values may be secrets; a service that is to go is nothing that was released."""
    one = service(models={"A": "8"}, env=(("TOKEN", "hunter2"),))
    told = story(Outcome.SUCCEEDED, after=one.bundle)
    record = record_of(seen(told, environment(one, absent("gone"))))
    assert list(record.services) == ["risk"]
    assert record.services["risk"].settings == ("TOKEN",)
    assert "hunter2" not in repr(record)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (seen(Story()), "nothing was ever deployed to production"),
        (replace(seen(story(Outcome.SUCCEEDED)), spec=None), "nothing was ever deployed to production"),
        (seen(story(Outcome.FAILED)), "no receipt proves risk in production"),
        (seen(story(Outcome.SUCCEEDED, after=SEVEN)), "no receipt proves risk in production"),
    ],
    ids=["an empty ledger", "files that cannot be read", "a pass that failed", "the proof of another version"],
)
def test_without_a_proof_there_is_no_record(found, message):
    """And the way to one."""
    with pytest.raises(Error) as refused:
        record_of(found)
    assert (refused.value.message, refused.value.hint) == (message, "mlrelease deploy it first")


# -- what proves it later ----------------------------------------------------------------------------------------------


@pytest.fixture
def record() -> ReleasedEnvironment:
    return record_of(seen(story(Outcome.SUCCEEDED)))


def lines(record, links, changed=()):
    return [(line.what, line.check, line.status.value, line.reason) for line in of_ledger(record, links, changed)]


def test_the_ledger_that_it_was_made_from_proves_it(record):
    """Chain, receipt and approval, each a line."""
    assert lines(record, chained(story(Outcome.SUCCEEDED))) == [
        ("production", "ledger", "passed", "the chain holds up to event 2"),
        ("production/risk", "receipt", "passed", "e2 proved it"),
        ("production/risk", "approval", "passed", "by grace, e1"),
    ]


def test_what_came_after_the_release_does_not_matter(record):
    """Later events may fail, and even be broken: what was recorded then still holds."""
    links = chained(story(Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED))
    broken = replace(links[3], prev="sha256:other")
    later = f"{links[3].name} was changed"
    assert {line[2] for line in lines(record, (*links[:3], broken), [later])} == {"passed"}


def verdict(record, links, changed=()):
    found = lines(record, links, changed)[0]
    assert found[:3] == ("production", "ledger", "failed")
    return found[3]


def test_a_ledger_that_is_shorter_now_has_lost_events(record):
    """They were there when it was released; what they said is not there to be asked."""
    links = chained(story(Outcome.SUCCEEDED))
    assert verdict(record, links[:1]) == "it has 1 events; when it was released it had 2"
    assert lines(record, links[:1])[1] == ("production/risk", "receipt", "failed", "the ledger has no receipt e2 of it")


def test_a_chain_that_is_broken_before_it_is_named_by_the_first_break(record):
    """The file that does not follow."""
    first, second = chained(story(Outcome.SUCCEEDED))
    assert verdict(record, (first, replace(second, prev="sha256:0"))) == (
        f"the chain does not hold: {second.name} does not follow {first.name}"
    )


def test_another_ledger_of_the_same_length_is_not_this_one(record):
    """Its chain holds, and its head is another."""
    other = chained(story(Outcome.FAILED))
    assert verdict(record, other) == f"event 2 is {other[1].digest}, not {record.head}"


def test_files_that_were_changed_once_are_named_even_if_put_back(record):
    """The first of them; words behind its name are the ledger's own."""
    links = chained(story(Outcome.SUCCEEDED))
    changed = [f"{one.name} was removed by c0ffee" for one in reversed(links)]
    assert verdict(record, links, changed) == f"{links[0].name} was changed or removed after it was written"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (story(Outcome.ROLLED_BACK), "e2 proved something else"),
        (story(Outcome.SUCCEEDED, after=SEVEN), "e2 proved something else"),
        (story(Outcome.SUCCEEDED, after=None), "e2 proved something else"),
        (story(Outcome.SUCCEEDED, name="wine"), "the ledger has no receipt e2 of it"),
    ],
    ids=["a pass that was rolled back", "another version", "a removal", "another service"],
)
def test_a_receipt_must_say_that_this_bundle_answered(record, told, reason):
    """Whatever its id."""
    assert lines(record, chained(told))[1] == ("production/risk", "receipt", "failed", reason)


def test_an_approval_is_no_receipt(record):
    """The record names the wrong event."""
    wrong = replace(record, services={"risk": replace(record.services["risk"], receipt="e1")})
    assert lines(wrong, chained(story(Outcome.SUCCEEDED)))[1][3] == "the ledger has no receipt e1 of it"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"approvals": (ApprovedBy("e1", "mallory", "", ""),)}, id="another approver"),
        pytest.param({"approvals": (ApprovedBy("e2", "grace", "", ""),)}, id="an event that is no approval"),
        pytest.param({"approvals": (ApprovedBy("e9", "grace", "", ""),)}, id="an event that is not there"),
        pytest.param({"image": image("2")}, id="another image"),
        pytest.param({"models": (ReleasedModel(model("A", "9")),)}, id="another version"),
        pytest.param({"models": (ReleasedModel(model("A", "8")), ReleasedModel(model("B", "1")))}, id="a model more"),
        pytest.param({"name": "wine"}, id="another service"),
    ],
)
def test_an_approval_must_be_of_just_what_was_released(record, change):
    """By whom, for which service, and of which digests."""
    service_of = replace(record.services["risk"], **change)
    found = lines(replace(record, services={"risk": service_of}), chained(story(Outcome.SUCCEEDED)))[-1]
    assert found[1:3] == ("approval", "failed")
    assert found[3] == f"{service_of.approvals[0].event} does not say so"


def test_labels_of_the_same_bytes_make_no_difference_to_an_approval(record):
    """Digests were approved."""
    relabelled = replace(
        record.services["risk"],
        image=ImagePin(f"ghcr.io/acme/serve:new@{image('1').digest}"),
        models=(ReleasedModel(replace(model("A", "8"), version="80")),),
    )
    found = lines(replace(record, services={"risk": relabelled}), chained(story(Outcome.SUCCEEDED)))[-1]
    assert found[1:3] == ("approval", "passed")
