"""A release's pull request and page, whole: one pin, one too many, and texts of others in every cell."""

from __future__ import annotations

import pytest
from mlrelease.model.bundle import Digest, ImagePin, ModelPin
from mlrelease.model.release import ApprovedBy, Release, ReleasedEnvironment, ReleasedModel, ReleasedService, Version
from mlrelease.render.release_body import ROWS_SHOWN, page, pins, release_body

AT = "2027-01-15T08:00:00.000Z"
IMAGE = ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}")


def service(name="wine", models=1, approvers=("grace",)):
    return ReleasedService(
        name,
        "0" * 12,
        IMAGE,
        tuple(ReleasedModel(ModelPin(f"m{n}", "8", Digest(f"sha256:{n:064x}"))) for n in range(models)),
        "R1",
        AT,
        "1" * 40,
        approvals=tuple(ApprovedBy(f"A{n}", who, AT) for n, who in enumerate(approvers)),
    )


def record(*services, **environments):
    found = environments or {"production": services or (service(),)}
    return Release(
        Version(1, 2, 0),
        "v1.1.0",
        AT,
        "Ada",
        "2" * 40,
        {
            name: ReleasedEnvironment(name, "observed", 2, Digest(f"sha256:{'e' * 64}"), {s.name: s for s in own})
            for name, own in found.items()
        },
    )


TABLE = """\
<details><summary>2 pins at 222222222</summary>

| environment | service | pin | version | digest | proved by | approved by |
| --- | --- | --- | --- | --- | --- | --- |
| production | wine | image | ghcr.io/acme/serve:0.1.0 | sha256:abababababab | R1 | grace |
| production | wine | m0 | 8 | sha256:000000000000 | R1 | grace |

</details>"""


def test_the_pull_request_in_full():
    """What merging does, what changed, and every pin."""
    assert (
        release_body(record(), "\n### Added\n\n- A thing.\n\n")
        == f"""\
Merging this releases **v1.2.0**: `mlrelease release publish` then tags the merge and publishes it. Pins that change on the \
branch meanwhile make this record untrue: `mlrelease release` with `--pr` refreshes it.

### Added

- A thing.

{TABLE}"""
    )


def test_the_page_in_full():
    """What changed, every pin, and how all of it is proved again."""
    assert (
        page(record(), "### Added\n\n- A thing.\n")
        == f"""\
### Added

- A thing.

{TABLE}

`mlrelease release verify v1.2.0` proves this record against git, the ledger and MLflow.
"""
    )


@pytest.mark.parametrize(
    ("models", "left"),
    [(ROWS_SHOWN - 1, None), (ROWS_SHOWN, 1)],
    ids=["as many as are shown", "one more"],
)
def test_what_does_not_fit_is_counted(models, left):
    """The image is a pin too; the summary counts all of them."""
    lines = pins(record(service(models=models)))
    assert lines[0] == f"<details><summary>{models + 1} pins at 222222222</summary>"
    assert sum(line.startswith("| production") for line in lines) == ROWS_SHOWN
    mark = [line for line in lines if line.startswith("…")]
    assert mark == ([f"… and {left} more pins, all in `releases/v1.2.0.yaml`."] if left else [])
    assert lines[-2:] == ["", "</details>"]


def test_environments_stand_in_the_order_of_their_names():
    """And each has its services below."""
    rows = [
        line for line in pins(record(staging=(service("b"), service("a")), production=(service("c"),))) if " image " in line
    ]
    assert [row.split(" | ")[:2] for row in rows] == [["| production", "c"], ["| staging", "b"], ["| staging", "a"]]


@pytest.mark.parametrize(
    ("approvers", "cell"),
    [((), "–"), (("grace",), "grace"), (("grace", "bob", "grace"), "grace, bob"), (("@all",), "@&#8203;all")],
    ids=["nobody", "one", "each once, in the order of their word", "a name that would call everybody"],
)
def test_who_approved(approvers, cell):
    """A dash is no approval, not one forgotten."""
    assert all(line.endswith(f" | {cell} |") for line in pins(record(service(approvers=approvers))) if line.startswith("| p"))


def test_a_release_of_nothing_has_an_empty_table():
    """No environment yet is no reason to fail."""
    assert pins(record(production=()))[0] == "<details><summary>0 pins at 222222222</summary>"
