"""What one pull request is about: its branch, its hidden marker, and the pins by which it is known again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.proposals import Proposed, Subject, _is_newer, _label, _markers, _older, _pins_marker
from mlrelease.model.bundle import IMAGE, SETTINGS, ComponentKey, canonical_json, model_key, sha256_digest
from mlrelease.model.finding import Finding
from mlrelease.model.spec import Spec
from support.core import environment, image, model, service

A, B = model_key("A"), model_key("B")


def spec(*services, findings=(), **other):
    return Spec({"production": environment(*services, **other)}, tuple(findings))


def bump(name="A", service_name="risk"):
    return Subject("bump", "production", service_name, name)


BOTH = spec(service(models={"A": "7", "B": "1"}))


@pytest.mark.parametrize(
    ("subject", "branch", "marker"),
    [
        (bump(), "mlrelease/bump/production/A", "mlrelease:bump:production:A"),
        (Subject("promote", "production", "risk"), "mlrelease/promote/production/risk", "mlrelease:promote:production:risk"),
        (
            Subject("rollback", "production", "risk", others=("wine",)),
            "mlrelease/rollback/production/several+",
            "mlrelease:rollback:production:several+",
        ),
        (bump("a--b"), "mlrelease/bump/production/a--b", "mlrelease:bump:production:a-%2Db"),
        (bump("a..lock"), "mlrelease/bump/production/a%2E%2Elock", "mlrelease:bump:production:a..lock"),
    ],
    ids=["a model", "a service", "several services", "two hyphens, which end a comment", "dots, which git refuses"],
)
def test_each_subject_has_a_branch_and_a_marker(subject, branch, marker):
    """Of its own; the marker fits into an HTML comment."""
    assert (subject.branch, subject.marker) == (branch, marker)
    assert "--" not in subject.marker


def test_a_service_called_several_is_not_several_services():
    """They would share a branch."""
    one = Subject("rollback", "production", "several")
    many = Subject("rollback", "production", "risk", others=("wine",))
    assert one.branch != many.branch


class TestPins:
    """The components that a pull request is about, each with its label and its digest."""

    def test_of_a_model_it_is_the_model_alone(self):
        """The image and the other model are somebody else's subject."""
        assert bump().pins(BOTH) == {A: ("7", str(model("A", "7").digest))}

    @pytest.mark.parametrize("name", ["image", "settings", "model:A"])
    def test_a_model_may_be_called_like_a_component(self, name):
        """The service's image is not the model `image`: another image would make another proposal of it."""
        files = spec(service(models={name: "7", "A": "1"}))
        assert bump(name).pins(files) == {model_key(name): ("7", str(model(name, "7").digest))}

    def test_of_a_service_it_is_all_of_it(self):
        """Image, settings and models; settings have no label, for their values are not shown."""
        files = spec(service(models={"A": "7"}, env=(("MODE", "fast"),)))
        assert Subject("promote", "production", "risk").pins(files) == {
            A: ("7", str(model("A", "7").digest)),
            IMAGE: (image("1").short, str(image("1").digest)),
            SETTINGS: ("", str(sha256_digest(canonical_json({"MODE": "fast"})))),
        }

    def test_of_several_services_it_is_the_whole_environment(self):
        """Each component under its service's name, in the order of names."""
        files = spec(service("wine"), service("risk"))
        pins = Subject("rollback", "production", "risk", others=("wine",)).pins(files)
        assert list(pins) == sorted(pins, key=lambda key: key.partition("/")[0])
        assert {key.partition("/")[0] for key in pins} == {"risk", "wine"}
        assert pins[ComponentKey("risk/model:A")] == ("7", str(model("A", "7").digest))

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param(Spec({}), id="the environment is not there"),
            pytest.param(spec(service("wine")), id="the service is not there"),
            pytest.param(spec(invalid=["risk"]), id="the service has findings"),
            pytest.param(
                spec(service(), findings=[Finding("environments/production/environment.yaml", 1, 1, "x", "m")]),
                id="the repository has findings",
            ),
            pytest.param(
                spec(service(), findings=[Finding("p", 1, 1, "x", "m", environment="production")]),
                id="the environment has findings",
            ),
        ],
    )
    def test_where_it_cannot_be_read_there_are_none(self, files):
        """And so nothing is equal to what is asked for."""
        for subject in (bump(), Subject("promote", "production", "risk")):
            assert (subject.pins(files), subject.service_in(files)) == ({}, None)

    def test_findings_of_another_place_do_not_matter(self):
        """Another environment, or another service of this one."""
        others = [
            Finding("p", 1, 1, "x", "m", environment="staging"),
            Finding("p", 1, 1, "x", "m", environment="production", service="wine"),
        ]
        assert bump().pins(replace(BOTH, findings=tuple(others))) == bump().pins(BOTH)


# -- the same again, newer, older --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "asked", "newer"),
    [
        ({A: ("9", "x")}, {A: ("8", "y")}, True),
        ({A: ("10", "x")}, {A: ("9", "y")}, True),
        ({A: ("8", "x")}, {A: ("8", "y")}, False),
        ({A: ("7", "x")}, {A: ("8", "y")}, False),
        ({}, {A: ("8", "y")}, False),
        ({B: ("9", "x")}, {A: ("8", "y")}, False),
        ({A: ("v9", "x")}, {A: ("8", "y")}, False),
        ({A: ("9", "x")}, {A: ("main", "y")}, False),
        ({A: ("²", "x")}, {A: ("1", "y")}, False),
    ],
    ids=[
        "it is",
        "by number, not by letter",
        "the same number",
        "an older one",
        "nothing stands there",
        "another model",
        "no number there",
        "no number asked for",
        "a digit that is no number",
    ],
)
def test_a_newer_version_is_one_with_a_higher_number(standing, asked, newer):
    """Of the model that is asked for; where versions are no numbers nothing is newer."""
    assert _is_newer(standing, asked) is newer


PINS = st.dictionaries(
    st.sampled_from([A, B, IMAGE, SETTINGS]), st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(PINS, PINS, st.randoms(use_true_random=False))
def test_the_hidden_line_is_equal_for_equal_pins_and_only_for_those(pins, other, random):
    """In whatever order they stand; it is one line that closes its comment."""
    shuffled = list(pins.items())
    random.shuffle(shuffled)
    line = _pins_marker(pins)
    assert _pins_marker(dict(shuffled)) == line
    assert (_pins_marker(other) == line) is (other == pins)
    assert line.startswith("<!-- mlrelease:pins:")
    assert (line.endswith(" -->"), line.count("--"), "\n" in line) == (True, 2, False)


def test_both_markers_stand_on_lines_of_their_own():
    """The subject's first: by it the pull request is found."""
    first, second = _markers(bump(), BOTH).splitlines()
    assert "mlrelease:bump:production:A" in first
    assert second == _pins_marker(bump().pins(BOTH))


def test_a_pull_request_that_is_left_says_what_it_proposes():
    """With the labels that people know, and without the settings, which have none."""

    class Pull:
        number = 7

    standing = {B: ("2", "x"), A: ("9", "y"), IMAGE: ("acme/serve:1", "z"), SETTINGS: ("", "s")}
    assert _label(standing) == "image acme/serve:1, A 9, B 2"
    assert _older(Pull, {A: ("9", "y")}) == "left as it is: #7 proposes A 9, which is newer"


def test_what_came_of_it_has_stable_keys():
    """A script reads them; where nothing was proposed they are there and empty."""
    done = Proposed("opened #7", "c0ffee", 7, "https://github.com/a/b/pull/7", opened=True)
    assert done.to_json() == {"number": 7, "url": "https://github.com/a/b/pull/7", "opened": True, "commit": "c0ffee"}
    assert Proposed("not proposed").to_json() == {"number": 0, "url": "", "opened": False, "commit": ""}
