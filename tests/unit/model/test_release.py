"""Versions of releases, where their records lie, and what makes two services the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.release import LEVELS, Level, ReleasedModel, ReleasedService, Section, Version, released_by

IMAGE = ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}")
PIN = ModelPin("wine", "8", Digest(f"sha256:{'cd' * 32}"))
BUNDLE = Bundle("wine", IMAGE, (PIN,))
SERVICE = ReleasedService("wine", BUNDLE.id, IMAGE, (ReleasedModel(PIN),), "R1", "2027-01-15T08:00:00.000Z", "0" * 40)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.2.3", Version(1, 2, 3)),
        ("v1.2.3", Version(1, 2, 3)),
        ("0.0.0", Version(0, 0, 0)),
        ("10.20.30", Version(10, 20, 30)),
        ("1.2", None),
        ("1.2.3.4", None),
        ("01.2.3", None),
        ("1.2.3rc1", None),
        ("1.2.3-rc.1", None),
        ("v1.2.3\n", None),
        ("vv1.2.3", None),
        ("", None),
        ("latest", None),
        ("1.2.٣", None),
        ("../v1.2.3", None),
    ],
)
def test_only_plain_versions_are_versions(text, version):
    """No pre-releases, no leading zeros, nothing that could be another path."""
    assert Version.parse(text) == version


@given(st.tuples(*[st.integers(0, 999_999)] * 3))
def test_a_version_is_what_its_text_says(numbers):
    """Identity: parse ∘ str, with and without the tag's letter."""
    version = Version(*numbers)
    assert Version.parse(str(version)) == version
    assert Version.parse(version.tag) == version
    assert released_by(version.path) == version


@given(st.tuples(*[st.integers(0, 99)] * 3), st.sampled_from([Level.MAJOR, Level.MINOR, Level.PATCH]))
def test_a_raised_version_is_later_and_what_is_behind_begins_anew(numbers, level):
    """Never equal, never earlier."""
    version = Version(*numbers)
    raised = version.raised(level)
    assert raised > version
    if level is Level.PATCH:
        assert raised[:2] == version[:2]
    else:
        assert raised.patch == 0


def test_versions_are_ordered_by_number_not_by_text():
    """10 comes after 9."""
    assert Version(1, 10, 0) > Version(1, 9, 9)


@pytest.mark.parametrize(
    ("level", "before", "after"),
    [
        (Level.MAJOR, "1.2.3", "2.0.0"),
        (Level.MINOR, "1.2.3", "1.3.0"),
        (Level.PATCH, "1.2.3", "1.2.4"),
        (Level.MAJOR, "0.2.3", "0.3.0"),
        (Level.MINOR, "0.2.3", "0.3.0"),
        (Level.PATCH, "0.2.3", "0.2.4"),
    ],
)
def test_each_level(level, before, after):
    """Before 1.0.0 major is minor."""
    assert str(Version.parse(before).raised(level)) == after


@pytest.mark.parametrize(
    "path",
    [
        "releases/v1.2.3.yml",
        "releases/1.2.3.yaml",
        "v1.2.3.yaml",
        "releases/unreleased/v1.2.3.yaml",
        "releases/README.md",
        "releases",
    ],
)
def test_other_files_are_no_records(path):
    """One place, one name for each version."""
    assert released_by(path) is None


def test_every_section_has_its_level():
    """A section that is added needs a decision."""
    assert set(LEVELS) == set(Section)
    assert LEVELS[Section.REMOVED] is Level.MAJOR
    assert {LEVELS[Section.FIXED], LEVELS[Section.SECURITY]} == {Level.PATCH}


@pytest.mark.parametrize(
    "other",
    [
        replace(BUNDLE, image=ImagePin(IMAGE.reference.replace("0.1.0", "0.2.0"))),
        replace(BUNDLE, models=(replace(PIN, version="9"),)),
        replace(BUNDLE, models=(replace(PIN, digest=Digest(f"sha256:{'ee' * 32}")),)),
        replace(BUNDLE, models=()),
        replace(BUNDLE, settings=(("A", "1"),)),
    ],
    ids=["another tag of the image", "another number of the same bytes", "other bytes", "no model", "other settings"],
)
def test_a_service_is_of_exactly_one_bundle(other):
    """Labels count too: a record that says 8 is not proved by a 9 of the same bytes."""
    assert SERVICE.is_of(BUNDLE)
    assert not SERVICE.is_of(other)


def test_the_order_of_models_says_nothing():
    """A record written by hand or by another version lists them as it likes."""
    other = ModelPin("cellar", "1", Digest(f"sha256:{'ee' * 32}"))
    whole = replace(BUNDLE, models=(other, PIN))
    for models in ((PIN, other), (other, PIN)):
        service = replace(SERVICE, bundle=whole.id, models=tuple(map(ReleasedModel, models)))
        assert service.is_of(whole)
        assert service.is_of(replace(whole, models=(PIN, other)))
        assert service.pins() == (IMAGE, (other, PIN))
