"""Single values: what each judge lets through, and what it says of everything else, word for word."""

from __future__ import annotations

import re

import pytest
from mlrelease.spec import values
from mlrelease.spec.rules import RULES, WrongValueError

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
IMAGE = f"ghcr.io/acme/serve:1@{DIGEST}"


def said(judge, text):
    """Rule, message and what is shown of the value; an empty tuple where it is let through as it is."""
    try:
        let_through = judge(text)
    except WrongValueError as e:
        return (e.rule, e.message, e.found) if e.rule in RULES and str(e) == e.message else None
    return () if let_through == text else None


@pytest.mark.parametrize(
    ("judge", "good", "bad", "expected"),
    [
        (values.name, ["a", "0", "a-", "a-b-0", "a" * 63],
         ["", "-a", "A", "a_b", "a.b", "a b", "é", "a\n", "a" * 64, "١"],
         ("bad-name", "the name cannot be used", "lower-case letters, digits and -, at most 63, no - first")),
        (values.model_name, ["a", "A", "0", "a._-", "A" * 63, "1.0"],
         ["", ".a", "_a", "-a", "a/b", "a b", "é", "a\n", "a" * 64, ".."],
         ("bad-name", "the model name cannot be used",
          "letters, digits, - _ and ., at most 63, a letter or digit first")),
        (values.exact_version, ["1", "8", "10", "9" * 19],
         ["", "0", "08", "-1", "+1", "1.0", " 1", "1\n", "v1", "latest", "9" * 20, "٨"],
         ("version-not-exact", "version is not one exact MLflow version", 'one version number in quotes, such as "8"')),
        (values.duration, ["0s", "90s", "10m", "24h", "7d", "999999d"],
         ["", "10", "s", "-1s", "1.5h", "1w", "1S", "1 s", "1s\n", "1000000s", "1h30m"],
         ("bad-value", "not a duration", "a whole number and s, m, h or d, such as 90s, 10m, 24h or 7d")),
        (values.variable, ["A", "_", "a1_B"], ["", "1A", "A-B", "A B", "A=B", "É", "A\n", "A.B"],
         ("bad-value", "not the name of a variable", "letters, digits and _, no digit first")),
        (values.python, ["", "/p", "/opt/a b/.venv/bin/python"],
         ["/", "python", "./p", "~/p", "//p", "/p\n", "/p\x00", "/p\x1b[2J"],
         ("bad-value", "not the absolute path of an interpreter",
          "a path from the root, such as /opt/models/.venv/bin/python")),
        (values.listen,
         ["127.0.0.1:1", "h:65535", "localhost:8080", "a.b-c.d:80", "[::1]:80", "[::ffff:1.2.3.4]:80", "0.0.0.0:080"],
         ["", "h", ":80", "h:", "h:0", "h:65536", "h:123456", "h:-1", "h:٣", "h:80 ", "h:80\n", "-h:80", "h-:80", "h_:80",
          "::1:80",
          "[::1:80", "[::1]", "[:::1]:80", "[1.2.3.4]:80", "1.2.3:80", "1.2.3.256:80", "1.2.3.4.:80", "http://h:80", "u@h:80"],
         ("bad-value", "not an address to listen on", "host:port, such as 127.0.0.1:8080, with a port from 1 to 65535")),
    ],
    ids=["name", "model name", "version", "duration", "variable", "python", "listen"],
)  # fmt: skip
def test_a_judge_lets_through_what_fits_whole(judge, good, bad, expected):
    """At both ends: no line break behind it, no letter that only looks like one."""
    for text in good:
        assert said(judge, text) == (), text
    for text in bad:
        with pytest.raises(WrongValueError) as raised:
            judge(text)
        assert (raised.value.rule, raised.value.message, raised.value.expected) == expected, text
        assert (raised.value.fix, raised.value.found) == ("", None)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("sha256:zz", "is not a full sha256"),
        ("zz", "is not a full sha256"),
        ("", "is not a full sha256"),
        (HEX, "does not say its algorithm"),
        (HEX.upper(), "does not say its algorithm"),
        (HEX[:31], "is not a full sha256"),
        (HEX * 2, "does not say its algorithm"),
        (HEX * 2 + "0", "is not a full sha256"),
        (f"md5:{HEX[:32]}", "is of another algorithm than sha256"),
        (f"sha512:{HEX * 2}", "is of another algorithm than sha256"),
        (f"sha-256:{HEX}", "is of another algorithm than sha256"),
        (f"SHA256:{HEX}", "is not in lower case"),
        (f"sha256:{HEX.upper()}", "is not in lower case"),
        (f"sha256:{HEX[:-1]}", "has 63 hex digits, not 64"),
        (f"sha256:{HEX}0", "has 65 hex digits, not 64"),
        (f"sha256:{HEX[:-1].upper()}", "has 63 hex digits, not 64"),
        (f"sha256:{HEX[:-1]}g", "is not a full sha256"),
        (f"sha256: {HEX}", "is not a full sha256"),
        (f"sha256:{HEX}\n", "is not a full sha256"),
        (IMAGE, "is the reference of an image, not the digest of a model's files"),
        (f"acme/serve@{DIGEST}", "is the reference of an image, not the digest of a model's files"),
        (f"serve:{DIGEST}", "is the reference of an image, not the digest of a model's files"),
        (f"sha256:{DIGEST}", "is not a full sha256"),
        ("a b c:" + HEX, "is not a full sha256"),
    ],
)
def test_a_digest_that_is_none_is_told_its_plainest_flaw(text, flaw):
    """So that nobody counts sixty-four digits by eye."""
    assert said(values.digest, text) == ("pin-digest", f"digest {flaw}", None)


@pytest.mark.parametrize(
    "text",
    [IMAGE, f"serve:1@{DIGEST}", f"localhost:5000/serve:v1.2_x-y@{DIGEST}", f"r.io/a/b__c/d-e.f:{'t' * 128}@{DIGEST}"],
)  # fmt: skip
def test_an_image_with_tag_and_digest_is_let_through(text):
    """Host and port, folders, tags as registries have them."""
    assert said(values.image, text) == ()


NO_REFERENCE = "image is not a reference that a registry understands"


@pytest.mark.parametrize(
    ("text", "message", "found"),
    [
        ("r.io/a", "image has neither tag nor digest", "r.io/a"),
        ("r.io:5000/a", "image has neither tag nor digest", "r.io:5000/a"),
        ("a:1", "image has a tag but no digest", "a:1"),
        ("r.io:5000/a:1", "image has a tag but no digest", "r.io:5000/a:1"),
        (f"r.io/a@{DIGEST}", "image has a digest but no tag", f"r.io/a@{DIGEST}"),
        (f"r.io:5000/a@{DIGEST}", "image has a digest but no tag", f"r.io:5000/a@{DIGEST}"),
        ("a:1@sha256:abc", "image digest has 3 hex digits, not 64", "a:1@sha256:abc"),
        (f"a:1@sha256:{HEX.upper()}", "image digest is not in lower case", f"a:1@sha256:{HEX.upper()}"),
        (f"a:1@sha512:{HEX}", "image digest is of another algorithm than sha256", f"a:1@sha512:{HEX}"),
        (f"a:1@{HEX}", "image digest does not say its algorithm", f"a:1@{HEX}"),
        (f"A:1@{DIGEST}", NO_REFERENCE, f"A:1@{DIGEST}"),
        (f"a:{'t' * 129}@{DIGEST}", NO_REFERENCE, f"a:{'t' * 129}@{DIGEST}"),
        (f"https://r.io/a:1@{DIGEST}", NO_REFERENCE, f"https://r.io/a:1@{DIGEST}"),
        ("ada:hunter2@r.io/a:1", NO_REFERENCE, "***@r.io/a:1"),
        ("https://ada:hunter2@r.io/a:1", NO_REFERENCE, "https://***@r.io/a:1"),
        (f"https://ada:hunter2@r.io/a:1@{DIGEST}", NO_REFERENCE, f"https://***@r.io/a:1@{DIGEST}"),
        (f"ada:hunter2@r.io/a:1@{DIGEST}", NO_REFERENCE, f"***@r.io/a:1@{DIGEST}"),
        (f"ada:hun@ter2@r.io/a:1@{DIGEST}", NO_REFERENCE, f"***@r.io/a:1@{DIGEST}"),
    ],
)
def test_an_image_that_is_no_pin_is_told_what_is_missing(text, message, found):
    """A colon before a slash is a port, no tag; what stands before an `@` may be a password, and is not shown."""
    assert said(values.image, text) == ("image-digest", message, found)


@pytest.mark.parametrize("text", ["latest", "LATEST", "Latest", "v8", "V8", "8", "v0", "007"])
def test_an_alias_that_mlflow_keeps_is_refused(text):
    """Whatever its case."""
    assert said(values.alias, text) == ("bad-value", "MLflow keeps this alias for itself", None)


@pytest.mark.parametrize("text", ["production", "v", "vv8", "v8a", "8a", "latest-1", "a.b"])
def test_an_alias_that_only_begins_like_one_of_mlflow_s_is_fine(text):
    """And it is a name like that of a model."""
    assert said(values.alias, text) == ()
    assert said(values.alias, f"{text} ") == ("bad-name", "the model name cannot be used", None)


@pytest.mark.parametrize("text", ["0s", "0d", "000000h"])
def test_a_timeout_of_zero_lets_nothing_through(text):
    """A duration that means nothing elsewhere."""
    assert said(values.duration, text) == ()
    assert said(values.timeout, text) == ("bad-value", "a timeout of zero lets nothing through", None)
    assert said(values.timeout, "1s") == ()
    assert said(values.timeout, "1") == ("bad-value", "not a duration", None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("2m", 120), ("3h", 10_800), ("7d", 604_800), ("010m", 600)]
)
def test_a_duration_in_seconds(text, seconds):
    """Days have twenty-four hours."""
    assert values.seconds(text) == seconds


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1:80", True),
        ("127.8.9.1:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("0.0.0.0:80", False),
        ("[::]:80", False),
        ("10.0.0.1:80", False),
        ("localhost.example:80", False),
        ("h:80", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(address, is_loopback):
    """All of 127.0.0.0/8; a name may lead anywhere."""
    assert values.is_loopback(address) is is_loopback


@pytest.mark.parametrize("text", ["", "plain", "${A}", "a${A}b${B:-c}", "$A", "{A}", "${A:-}"])
def test_a_template_with_whole_references_is_let_through(text):
    """A dollar alone is one."""
    assert said(values.template, text) == ()


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${1A}", "${A:b}", "${A-b}", "a ${A} hunter2 ${"])
def test_a_template_with_a_torn_reference_is_not_shown(text):
    """What stands around it may be a secret."""
    assert said(values.template, text) == ("bad-value", "a ${ is not closed or names no variable", "")


@pytest.mark.parametrize(
    "text",
    ["http://h", "https://h:5000/p?x=1", "sqlite:///m.db", "sqlite:////srv/m.db", "${U}", "${U:-http://h}", "https://${U}:${P}@h/",
     "http://${H:-h}:5000", "http://ci@h", "http://h:5000/a@b", "http://h/" + "x" * 1991],
)  # fmt: skip
def test_an_address_of_mlflow_is_let_through(text):
    """A user without a password is no secret; a port before an `@` in the path is none either."""
    assert said(values.tracking_uri, text) == ()


NO_ADDRESS = "tracking_uri is no address of an MLflow server"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mlflow.example.com", "mlflow.example.com"),
        ("ftp://h", "ftp://h"),
        ("HTTP://h", "HTTP://h"),
        ("http://", "http://"),
        ("http:///p", "http:///p"),
        ("http://?x", "http://?***"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite://m.db", "sqlite://m.db"),
        ("http://h /p", "http://h /p"),
        (" http://h", " http://h"),
        ("http://h\n", "http://h\n"),
        ("${U", "${U"),
        ("${U:-}", "${U:-}"),
        ("${U:-mlflow}", "${U:-mlflow}"),
        ("${U}/path", "${U}/path"),
        ("torn ${ ci@h", "***@h"),
        ("http://a b@h", "http://***@h"),
    ],
)
def test_an_address_that_is_none_is_shown_without_what_may_be_its_userinfo(text, found):
    """Wherever it is torn."""
    assert said(values.tracking_uri, text) == ("tracking-uri", NO_ADDRESS, found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://ci:hunter2@h/", "https://***@h/"),
        ("https://:hunter2@h/", "https://***@h/"),
        ("https://ci:${P}hunter2@h/", "https://***@h/"),
        ("${U:-http://ci:hunter2@h}", "***@h}"),
        ("ci:hunter2@h", "***@h"),
    ],
)
def test_a_password_in_an_address_is_a_secret_and_not_shown(text, found):
    """In the file's own words or in a default; the way out says to change it, for git keeps it."""
    with pytest.raises(WrongValueError) as raised:
        values.tracking_uri(text)
    e = raised.value
    assert (e.rule, e.message, e.found) == ("literal-secret", "tracking_uri holds a password", found)
    assert (e.expected, e.fix) == (
        "no user:password@ in the file",
        "write ${MLFLOW_TRACKING_URI}, set it, and change the password",
    )


def test_an_address_has_an_end():
    """It is shown nowhere: nobody reads two thousand characters."""
    longest = "http://h/" + "x" * (values.LONGEST_ADDRESS - 9)
    assert said(values.tracking_uri, longest) == ()
    assert said(values.tracking_uri, longest + "x") == ("tracking-uri", "tracking_uri is longer than 2000 characters", "")


@pytest.mark.parametrize("text", ["a", "-", "8", "0", "", "9" * 19])
def test_the_questions_agree_with_the_judges(text):
    """`is_name` and `is_exact_version` are asked where nothing is to be said."""
    assert values.is_name(text) is (said(values.name, text) == ())
    assert values.is_exact_version(text) is (said(values.exact_version, text) == ())


def test_the_patterns_that_editors_get_are_whole():
    """Anchored at both ends, or an editor would let through what `mlrelease validate` refuses."""
    patterns = (values.DIGEST, values.VERSION, values.NAME, values.MODEL_NAME, values.VARIABLE, values.PYTHON, values.DURATION)
    for pattern in (*patterns, values.IMAGE, values.LISTEN):
        assert re.match(r"\^.*\$\Z", pattern)
