"""What a bundle's id stands for, what its components are, and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mlrelease.model.bundle import IMAGE, SETTINGS, Bundle, ImagePin, ModelPin, canonical_json, model_key, sha256_digest
from support.core import bundle, digest, environment, image, model, service

names = st.text(min_size=1, max_size=8)
digests = st.integers(0, 5).map(lambda n: digest(str(n)))
bundles = st.builds(
    lambda svc, tag, content, pins, env: Bundle(
        svc,
        image(tag, content),
        tuple(sorted(ModelPin(name, version, value) for name, (version, value) in pins.items())),
        tuple(sorted(env.items())),
    ),
    svc=names,
    tag=st.sampled_from(["1", "2"]),
    content=names,
    pins=st.dictionaries(names, st.tuples(st.integers(1, 99).map(str), digests), min_size=1, max_size=4),
    env=st.dictionaries(names, names, max_size=3),
)
quick = settings(max_examples=40, deadline=None)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(bundles, st.data())
def test_the_order_of_models_does_not_change_the_id(one, data):
    """The same pins in any order are the same bundle."""
    shuffled = tuple(data.draw(st.permutations(one.models)))
    assert replace(one, models=shuffled).id == one.id


@quick
@given(bundles, st.integers(100, 200).map(str))
def test_labels_do_not_change_the_id(one, label):
    """A version number and an image tag are for people; only digests count."""
    relabelled = tuple(replace(pin, version=label) for pin in one.models)
    retagged = ImagePin(f"elsewhere.example/other:{label}@{one.image.digest}")
    assert replace(one, models=relabelled, image=retagged).id == one.id


@quick
@given(bundles, st.data())
def test_every_digest_is_in_the_id(one, data):
    """Another digest of any model, or of the image, is another bundle."""
    index = data.draw(st.integers(0, len(one.models) - 1))
    models = list(one.models)
    models[index] = replace(models[index], digest=digest("never drawn"))
    assert replace(one, models=tuple(models)).id != one.id
    assert replace(one, image=image("1", "never drawn, it is too long")).id != one.id


@quick
@given(bundles, st.data())
def test_the_set_of_models_is_in_the_id(one, data):
    """A model fewer is another bundle, and so is the same digest under another name."""
    index = data.draw(st.integers(0, len(one.models) - 1))
    pin = one.models[index]
    rest = tuple(other for other in one.models if other is not pin)
    assert replace(one, models=rest).id != one.id
    assert replace(one, models=(*rest, replace(pin, name="longer than drawn"))).id != one.id


@quick
@given(bundles, names, names)
def test_every_environment_variable_is_in_the_id(one, name, value):
    """What changes answers is part of what answers."""
    env = dict(one.settings)
    assume(env.get(name) != value)
    assert replace(one, settings=tuple(sorted((env | {name: value}).items()))).id != one.id


@quick
@given(bundles, bundles)
def test_bundles_are_the_same_exactly_when_their_components_are(one, other):
    """The id and the components say the same thing about two bundles of one service."""
    other = replace(other, service=one.service)
    assert (one.id == other.id) == (one.components() == other.components())


def test_where_and_how_often_it_runs_is_not_in_the_id():
    """Replicas, timeout, strategy, environment and policy are settings beside the bundle."""
    plain = service(replicas=1)
    tuned = service(replicas=9, timeout_s=5.0)
    staging = replace(environment(tuned), name="staging", alias="staging", keep_warm_s=0.0)
    assert staging.services["risk"].bundle.id == environment(plain).services["risk"].bundle.id


def test_the_service_is_in_the_id():
    """Two services with the same pins are two bundles."""
    assert bundle("risk").id != bundle("churn").id


def test_the_id_of_a_bundle_never_changes():
    """Ledgers hold ids: a refactoring that computes another one breaks every history."""
    assert bundle("risk", "1", {"A": "7", "B": "1"}, THRESHOLD="0.5").id == "1487d93974b6"


@quick
@given(bundles)
def test_a_bundle_survives_the_ledger(one):
    """Its JSON, written as text and read again, is the same bundle."""
    assert Bundle.from_json(one.service, json.loads(canonical_json(one.to_json()))) == one


@pytest.mark.parametrize("missing", ["image", "models"])
def test_a_damaged_bundle_is_not_read(missing):
    """A bundle without its pins is an error, never an empty bundle."""
    data = bundle().to_json()
    del data[missing]
    with pytest.raises(KeyError):
        Bundle.from_json("risk", data)


def test_components_name_each_thing_that_can_move():
    """The image, the settings, and each model by name, each with its digest."""
    one = bundle("risk", "1", {"A": "7", "B": "1"}, MODE="fast")
    assert one.components() == {
        IMAGE: image("1").digest,
        SETTINGS: sha256_digest(b'{"MODE":"fast"}'),
        model_key("A"): model("A", "7").digest,
        model_key("B"): model("B", "1").digest,
    }
    assert one.versions() == {"A": "7", "B": "1"}


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        pytest.param("serve:1", "serve:1", id="a name"),
        pytest.param("host:5000/acme/serve:0.3.1", "host:5000/acme/serve:0.3.1", id="a registry with a port"),
    ],
)
def test_an_image_pin_splits_at_its_digest(reference, short):
    """People read what stands before the `@`; what stands behind it identifies."""
    pin = ImagePin(f"{reference}@{digest('x')}")
    assert (pin.short, pin.digest) == (short, digest("x"))


@quick
@given(json_values)
def test_canonical_json_is_json(value):
    """Nothing is lost in it."""
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_has_one_form():
    """Keys sorted at every depth, no spaces, letters as they are: equal values give equal bytes."""
    assert canonical_json({"b": [1, {"d": None, "c": "é"}], "a": 1.5}) == '{"a":1.5,"b":[1,{"c":"é","d":null}]}'.encode()
