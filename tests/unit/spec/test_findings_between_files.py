"""What is wrong between files, word for word: what a person reads, whom it blocks, and the way out with its names filled in."""

from __future__ import annotations

import pytest
from mlrelease.model.finding import Finding
from mlrelease.spec.load import load
from mlrelease.spec.together import MANY
from support.example import DIGEST, ENV, EXAMPLE, IMAGE, MOD, SVC, URI, edited, second, without

GATES = "gates:\n  - gate: exists\n  - gate: digest\n"
BEER = SVC.replace("wine", "beer")


def three(**changes):
    """The example, and two environments more that share nothing."""
    third = {path: file for path, file in second("qa", **{":8081": ":8082", **changes}).items() if "/qa/" in path}
    return second(**changes) | third


CASES = [
    (
        "a default address for a listener of the network",
        edited((ENV, "127.0.0.1:8080", "0.0.0.0:8080")),
        [
            Finding(
                ENV,
                5,
                15,
                "tracking-uri",
                "a default address is for a target on this machine only",
                found="${MLFLOW_TRACKING_URI:-...}",
                expected="${NAME} without default, or target.listen on loopback",
                fix="write an http(s) address or ${MLFLOW_TRACKING_URI}",
                environment="production",
            )
        ],
    ),
    (
        "a soak without a source",
        edited((ENV, "alias:", "soak: 24h\nalias:")),
        [
            Finding(
                ENV,
                6,
                7,
                "idle-soak",
                "soak waits for nothing",
                found="24h",
                expected="promotes_from with the environment in which a version runs for so long",
                fix="name that environment with promotes_from, or remove soak",
                environment="production",
            )
        ],
    ),
    (
        "an environment without its file",
        without(ENV),
        [
            Finding(
                ENV,
                0,
                0,
                "missing-environment-file",
                "the environment has no file of its own",
                expected="environment.yaml in the folder",
                fix="add the file, or remove the folder",
                environment="production",
            )
        ],
    ),
    (
        "an environment without services",
        without(SVC, MOD),
        [
            Finding(
                "environments/production/services",
                0,
                0,
                "empty-environment",
                "the environment has no services",
                expected="at least one services/SERVICE.yaml",
                fix="add a service file, or `state: absent` to the environment",
                environment="production",
            )
        ],
    ),
    (
        "gates that are an empty list",
        edited((ENV, GATES, "gates: []\n")),
        [
            Finding(
                ENV,
                11,
                8,
                "no-gates",
                "the list of gates is empty",
                found="[]",
                expected="at least one gate",
                fix="add the gates exists and digest to the environment",
                environment="production",
            )
        ],
    ),
    (
        "gates of a model that are an empty list",
        edited((MOD, "\n\nversion", "\ngates: []\n\nversion")),
        [
            Finding(
                MOD,
                6,
                8,
                "no-gates",
                "the list of gates is empty",
                found="[]",
                expected="at least one gate, or no key gates",
                fix="add the gates exists and digest to the environment",
                environment="production",
                service="wine",
            )
        ],
    ),
    (
        "no gate anywhere",
        edited((ENV, GATES, "")),
        [
            Finding(
                MOD,
                3,
                1,
                "no-gates",
                "neither the environment nor the model names a gate",
                expected="at least one gate",
                fix="add the gates exists and digest to the environment",
                environment="production",
                service="wine",
            )
        ],
    ),
    (
        "a model for no service, and there is none",
        without(SVC),
        [
            Finding(
                MOD,
                4,
                10,
                "unknown-service",
                "no file describes this service",
                found="wine",
                expected="a service that has a file; there is none yet",
                fix="correct the name, or add the service's file",
                environment="production",
            ),
            Finding(
                "environments/production/services",
                0,
                0,
                "empty-environment",
                "the environment has no services",
                expected="at least one services/SERVICE.yaml",
                fix="add a service file, or `state: absent` to the environment",
                environment="production",
            ),
        ],
    ),
    (
        "a model for no service among several",
        edited((MOD, "service: wine", "service: whine"), **{BEER: EXAMPLE[SVC].replace(b"wine", b"beer")}),
        [
            Finding(
                MOD,
                4,
                10,
                "unknown-service",
                "no file describes this service",
                found="whine",
                expected="one of: beer, wine",
                fix="correct the name, or add the service's file",
                environment="production",
            )
        ],
    ),
    (
        "a service without models",
        without(MOD),
        [
            Finding(
                SVC,
                4,
                10,
                "service-without-models",
                "no model names this service",
                found="wine",
                expected="a model file with service: wine",
                fix="add a model file that names it, or `state: absent` to the service",
                environment="production",
                service="wine",
            )
        ],
    ),
    (
        "a promotion from nowhere",
        edited((ENV, "alias:", "promotes_from: staging\nalias:")),
        [
            Finding(
                ENV,
                6,
                16,
                "unknown-environment",
                "promotes_from names no other environment",
                found="staging",
                expected="another environment; there is none yet",
                fix="name an existing environment, or remove the line",
                environment="production",
            )
        ],
    ),
    (
        "a promotion from nowhere among several",
        three() | {ENV: edited((ENV, "alias:", "promotes_from: prod\nalias:"))[ENV]},
        [
            Finding(
                ENV,
                6,
                16,
                "unknown-environment",
                "promotes_from names no other environment",
                found="prod",
                expected="one of: qa, staging",
                fix="name an existing environment, or remove the line",
                environment="production",
            )
        ],
    ),
    (
        "an image's digest in a model",
        edited((MOD, DIGEST, IMAGE.split("@")[1])),
        [
            Finding(
                MOD,
                8,
                9,
                "foreign-digest",
                "this is the digest of the image of wine in production",
                found="sha256:33f9c95885b81054ceed787bc7c8f3f8ed2bc31f7fbf8cc69614…",
                expected="the digest of the model's own files",
                fix="mlrelease bump production wine --to 1    # resolves and writes the digest",
                environment="production",
                service="wine",
            )
        ],
    ),
    (
        "one port and one alias for three",
        three(**{":8081": ":8080", ":8082": ":8080", "alias: staging": "alias: production", "alias: qa": "alias: production"}),
        [
            Finding(
                ENV,
                6,
                8,
                "alias-conflict",
                "the alias is written in the same MLflow server by qa, staging",
                found="production",
                expected="one of its own",
                fix="give each environment its own alias",
                environment="production",
            ),
            Finding(
                ENV,
                9,
                11,
                "listen-conflict",
                "the listener takes the port of that in qa, staging",
                found="127.0.0.1:8080",
                expected="one of its own",
                fix="give each environment its own port",
                environment="production",
            ),
            Finding(
                "environments/qa/environment.yaml",
                6,
                8,
                "alias-conflict",
                "the alias is written in the same MLflow server by production, staging",
                found="production",
                expected="one of its own",
                fix="give each environment its own alias",
                environment="qa",
            ),
            Finding(
                "environments/qa/environment.yaml",
                9,
                11,
                "listen-conflict",
                "the listener takes the port of that in production, staging",
                found="127.0.0.1:8080",
                expected="one of its own",
                fix="give each environment its own port",
                environment="qa",
            ),
            Finding(
                "environments/staging/environment.yaml",
                6,
                8,
                "alias-conflict",
                "the alias is written in the same MLflow server by production, qa",
                found="production",
                expected="one of its own",
                fix="give each environment its own alias",
                environment="staging",
            ),
            Finding(
                "environments/staging/environment.yaml",
                9,
                11,
                "listen-conflict",
                "the listener takes the port of that in production, qa",
                found="127.0.0.1:8080",
                expected="one of its own",
                fix="give each environment its own port",
                environment="staging",
            ),
        ],
    ),
]


@pytest.mark.parametrize(("files", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_whole_finding_is_the_expected_one(files, expected):
    """All of them at once, sorted, and nothing besides."""
    assert list(load(files).findings) == expected


def test_variables_that_are_not_set_are_named_one_by_one():
    """Online only; with the command that sets each."""
    found = load(edited((ENV, URI, "https://${U}:${P}@h/")), {}).findings
    assert list(found) == [
        Finding(
            ENV,
            5,
            15,
            "variable-unset",
            "the variable P is not set, and the address of MLflow needs it",
            found="${P}",
            expected="a variable that is set",
            fix="export P=…    # where mlrelease runs",
            environment="production",
        ),
        Finding(
            ENV,
            5,
            15,
            "variable-unset",
            "the variable U is not set, and the address of MLflow needs it",
            found="${U}",
            expected="a variable that is set",
            fix="export U=…    # where mlrelease runs",
            environment="production",
        ),
    ]


def test_more_services_than_a_line_holds_are_cut():
    """In order of their names; who looks for another knows where they lie."""
    data = EXAMPLE[SVC]
    files = {SVC.replace("wine", f"s{n:02}"): data.replace(b"wine", b"s%02d" % n) for n in reversed(range(MANY + 5))}
    (finding,) = load(edited((MOD, "service: wine", "service: whine"), **files)).findings
    expected = "one of: " + ", ".join(f"s{n:02}" for n in range(MANY))
    assert finding.expected == expected
    assert len(expected) < 200


SAME = "the name differs from another only in case or width: some file systems and databases take both for one"


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["wine", "Wine"], {"wine": "Wine", "Wine": "wine"}),
        (["wine", "Wine", "WINE"], {"wine": "WINE, Wine", "Wine": "WINE, wine", "WINE": "Wine, wine"}),
        (
            ["wine", "\ufb01ne", "FINE", "fine"],
            {"fine": "FINE, \\ufb01ne", "FINE": "fine, \\ufb01ne", "\ufb01ne": "FINE, fine"},
        ),
        (["wine", "stra\xdfe", "strasse"], {"stra\xdfe": "strasse", "strasse": "stra\\xdfe"}),
    ],
    ids=["two", "three", "a ligature", "a sharp s"],
)
@pytest.mark.parametrize("kind", ["models", "services"])
def test_names_that_a_disk_takes_for_one_are_each_named_with_the_others(kind, names, others):
    """Each blocks the service that it is, or is for."""
    one = MOD if kind == "models" else SVC
    files = edited(**{one.replace("wine.yaml", f"{name}.yaml"): EXAMPLE[one] for name in names})
    found = {f.path: f for f in load(files).findings if f.rule == "same-name"}
    assert set(found) == {one.replace("wine.yaml", f"{name}.yaml") for name in others}
    for name, expected in others.items():
        finding = found[one.replace("wine.yaml", f"{name}.yaml")]
        assert (finding.message, finding.environment) == (SAME, "production")
        assert finding.expected.encode("ascii", "backslashreplace").decode() == f"another name than {expected}"
        assert finding.service == ("wine" if kind == "models" else name)
