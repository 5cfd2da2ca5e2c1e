"""What is taken for a secret, by name and by form; and that nothing of it is shown. The samples are put together here."""

from __future__ import annotations

import pytest
from mlrelease.spec import secrets
from mlrelease.spec.shown import LIMIT, address, shown, token

LETTERS = "Ab3" * 20
SAMPLES = {
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "a temporary AWS access key": "ASIA" + "IOSFODNN7EXAMPLE",
    "a GitHub token": "ghp" + "_" + LETTERS[:36],
    "a fine-grained GitHub token": "github" + "_pat_" + LETTERS[:40],
    "a GitLab token": "glpat" + "-" + LETTERS[:20],
    "a Slack token": "xoxb" + "-" + LETTERS[:24],
    "a Google API key": "AIza" + LETTERS[:35],
    "a Hugging Face token": "hf" + "_" + LETTERS[:34],
    "a Stripe key": "sk" + "_live_" + LETTERS[:24],
    "an OpenAI key": "sk" + "-proj-" + LETTERS[:40],
    "an npm token": "npm" + "_" + LETTERS[:36],
    "a signed token": "ey" + "JhbGciOiJIUzI1NiJ9" + ".ey" + "JzdWIiOiIxIn0" + "." + LETTERS[:43],
    "a bearer token": "Authorization: Bearer " + LETTERS[:32],
    "a bearer token in lower case": "authorization: bearer " + LETTERS[:32],
    "an RSA key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE" + LETTERS,
    "a key": "-----BEGIN " + "PRIVATE KEY-----",
    "an encrypted key": "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----",
    "an OpenSSH key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "a password in an address": "postgresql://app:" + "hunter2@db.example.com/app",
    "a password without a user": "redis://:" + "hunter2@cache:6379/0",
}
INNOCENT = {
    "a digest": "sha256:" + "ab" * 32,
    "an image": "ghcr.io/acme/serve:1@sha256:" + "ab" * 32,
    "an address": "https://mlflow.example.com:5000/path?x=1",
    "an address with a user": "https://ci@mlflow.example.com",
    "references as userinfo": "https://${USER}:${PASSWORD}@mlflow.example.com",
    "a public key": "-----BEGIN PUBLIC KEY-----",
    "a certificate": "-----BEGIN CERTIFICATE-----",
    "a bearer reference": "Authorization: Bearer ${TOKEN}",
    "the word bearer": "the bearer of this letter is welcome here",
    "a name with risk": "credit-risk-model-for-the-northern-region-of-acme",
    "a short sk": "sk-learn",
    "a word with AKIA": "SLOVAKIA",
    "a mail address": "ada@example.com",
    "a python path": "package.module:function@decorated",
}


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("around", ["{}", "A: {} # why", '"{}"', "x\n{}\ny"], ids=["alone", "a line", "quoted", "lines"])
def test_a_secret_is_known_by_its_form(text, around):
    """Wherever it stands, there is at least one finding at its place, and nothing of it is shown."""
    whole = around.format(text)
    places = [start for _, start in secrets.forms(whole)]
    assert places
    assert all(around.index("{}") <= place < around.index("{}") + len(text) for place in places)
    for word in ("hunter2", LETTERS[:8], "IOSFODNN7"):
        assert word not in secrets.without(whole)
        assert word not in token(whole)


@pytest.mark.parametrize("text", INNOCENT.values(), ids=INNOCENT)
def test_what_only_looks_alike_is_let_be(text):
    """A false alarm teaches people to look away."""
    assert list(secrets.forms(text)) == []
    assert secrets.without(text) == text


def test_every_form_has_a_sample():
    """No pattern is there that nothing tries."""
    found = {kind for text in SAMPLES.values() for kind, _ in secrets.forms(text)}
    assert found == set(secrets._FORMS)


@pytest.mark.parametrize(
    "name",
    ["PASSWORD", "DB_PASSWORD", "db_password", "dbPassword", "MYSQL_PASSWD", "KEY_PASSPHRASE", "API_KEY", "apiKey",
     "OPENAI_API_KEY",
     "AWS_SECRET_ACCESS_KEY", "CLIENT_SECRET", "TOKEN", "HF_TOKEN", "ACCESS_TOKEN", "PRIVATE_KEY", "GOOGLE_CREDENTIALS",
     "SIGNING_KEY",
     "APIKEY", "STORAGE_ACCOUNT_KEY"],
)  # fmt: skip
def test_a_name_that_says_secret(name):
    """By its last word, or its last two."""
    assert secrets.is_named_so(name)


@pytest.mark.parametrize(
    "name",
    ["", "_", "LOG_LEVEL", "TOKEN_URL", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "PASSWORD_FILE", "SECRET_NAME",
     "PRIMARY_KEY", "SORT_KEY",
     "KEY", "AWS_ACCESS_KEY_ID", "PAD_TOKEN", "EOS_TOKEN", "MASK_TOKEN", "SECRETARY", "PASSWORDS_ALLOWED", "metric",
     "version", "digest"],
)  # fmt: skip
def test_a_name_that_does_not(name):
    """Where a secret is, how many there are, or what a language model calls a token."""
    assert not secrets.is_named_so(name)


@pytest.mark.parametrize(
    ("value", "is_literal"),
    [
        ("hunter2", True),
        ("12345", True),
        ("${A:-hunter2}", True),
        ("${A}${B:-x}", True),
        ("", False),
        ("  ", False),
        ("${A}", False),
        ("${A:-}", False),
        ("Bearer ${A}", False),
        ("true", False),
        ("None", False),
    ],
)
def test_a_literal_is_what_stands_in_the_file(value, is_literal):
    """A reference is none, its default is."""
    assert secrets.is_literal(value) is is_literal


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://h/a", "https://h/a"),
        ("https://u:p@h/a", "https://***@h/a"),
        ("https://u:p/q@r@h/a", "https://***@h/a"),
        ("https://h/a?token=x", "https://h/a?***"),
        ("https://h/a#token=x", "https://h/a#***"),
        ("https://h/a#b?token=x", "https://h/a#***"),
        ("a#b", "a#b"),
        ("https://u:p@h/a?token=x more", "https://***@h/a?*** more"),
        ("a://u@h b://v@i", "a://***@h b://***@i"),
        ("a?b", "a?b"),
        ("u@h", "u@h"),
        ("https://" + "x" * 500 + ":hunter2@h/", "https://***@h/"),
        ("//" * 100_000, "//" * 100_000),
        ("//" + ":" * 200_000, "//" + ":" * 200_000),
    ],
    ids=["plain", "userinfo", "with slash and at", "query", "fragment", "fragment first", "no address's fragment",
    "both, then text", "two", "no address", "no scheme", "long", "slashes", "colons"],
)  # fmt: skip
def test_an_address_is_shown_without_what_is_secret_in_it(uri, expected):
    """However long it is: it is read once."""
    assert address(uri) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("w\u0456ne", "w\\u0456ne"),
        ("😀", "\\U0001f600"),
        ("a\nb\tc\x1b", "a\\nb\\tc\\x1b"),
        ("x" * 100, "x" * (LIMIT - 1) + "…"),
        ("é" * 100, "\\xe9" * 14 + "\\xe…"),
        ("\u202e", "\\u202e"),
    ],
)
def test_a_token_is_short_and_plain_ascii(text, expected):
    """What a terminal would act on, and what only looks like another letter, is written out."""
    assert token(text) == expected
    assert len(token(text)) <= LIMIT


def test_a_path_keeps_its_letters():
    """Only what is invisible in it is escaped."""
    assert shown("modèle\u200b.yaml") == "modèle\\u200b.yaml"
