"""The files of the demo's repository: valid as they are written, and the rules that the story tells of are in them."""

from __future__ import annotations

import pytest
from mlrelease.demo.models.forecasts import NAMES
from mlrelease.demo.place import ENVIRONMENTS, Place
from mlrelease.demo.repository import MODELS, SERVICES, write
from mlrelease.model.spec import SourceFile
from mlrelease.spec.load import load


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """What the written files say."""
    root = tmp_path_factory.mktemp("demo")
    place = Place(root, {"staging": "127.0.0.1:20001", "production": "127.0.0.1:20002"}, 20003, made=True)
    environments = place.laptop / "environments"
    (environments / "production" / "models").mkdir(parents=True)
    (environments / "production" / "models" / "wine.yaml").write_text("the example of init")
    assert write(place) == 2 * (1 + len(SERVICES) + 2 + len(NAMES))
    files = {p.relative_to(place.laptop).as_posix(): SourceFile(p.read_bytes()) for p in environments.rglob("*.yaml")}
    return load(files)


def test_the_files_have_no_finding(spec):
    """Nothing of the example is left, every key is known, every value is as it should be."""
    assert spec.findings == ()
    assert sorted(spec.environments) == sorted(ENVIRONMENTS)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_has_the_three_services_with_their_models(spec, name):
    """The same models under the same image in both: what is promoted is what was verified."""
    found = {
        service.name: tuple(model.name for model in service.models) for service in spec.environments[name].services.values()
    }
    assert found == {service: tuple(sorted(MODELS[service])) for service in SERVICES}
    assert {service.image for service in spec.environments[name].services.values()} == {
        service.image for service in spec.environments["staging"].services.values()
    }


def test_production_takes_what_staging_verified_and_a_person_approved(spec):
    """And staging asks neither: that is where versions come in."""
    staging, production = spec.environments["staging"], spec.environments["production"]
    assert (staging.promotes_from, staging.approval_required) == ("", False)
    assert (production.promotes_from, production.approval_required) == ("staging", True)
    assert staging.target.listen != production.target.listen
    assert staging.target.state_dir != production.target.state_dir
    assert (staging.alias, production.alias) == ("staging", "production")


@pytest.mark.parametrize(
    ("model", "gates"),
    [
        ("tumour", {"exists", "digest", "scan", "signature", "metric"}),
        ("progression", {"exists", "digest", "scan", "signature", "metric"}),
        (NAMES[0], {"exists", "digest", "scan", "signature"}),
    ],
    ids=["the classifier", "the regressor", "a forecast"],
)
def test_every_model_has_the_gates_that_the_story_shows(spec, model, gates):
    """The metric gate only where it was measured on enough rows to mean something."""
    for service in spec.environments["staging"].services.values():
        for found in service.models:
            if found.name == model:
                assert {gate.gate for gate in found.gates} >= gates
                assert ("metric" in {gate.gate for gate in found.gates}) is ("metric" in gates)
                return
    raise AssertionError(model)


def test_example_digests_are_all_different(spec):
    """No file claims the bytes of another model before the first bump."""
    digests = [m.pin.digest for s in spec.environments["staging"].services.values() for m in s.models]
    assert len(set(digests)) == len(digests) == 2 + len(NAMES)


def test_there_are_at_least_thirty_forecasts():
    """A fleet: each of a series of its own."""
    assert len(NAMES) >= 30
    assert all("/" not in name and name == name.lower() for name in NAMES)
