"""Every rule a file can break: its id, what it means in one line, and what to do unless the place knows better.

The ids are stable: they are anchors in `docs/rules.md`, titles of GitHub annotations and keys of JSON output.
`{environment}`, `{name}` and `{version}` in a fix are filled in by `Defect.at`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mlrelease.model.finding import Finding
from mlrelease.spec.shown import shown, token

_LONG = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what is wrong when it is broken, and the usual way out (a command or a sentence)."""

    title: str
    fix: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # the file as a file
        "symlink": Rule("a link stands where a file should", "replace the link by a copy of the file it points to"),
        "unreadable": Rule("the file cannot be read", "make it a regular file that the user running mlrelease may read"),
        "wrong-place": Rule("the file is none of the three kinds", "move it out of environments/, or to the path named"),
        "too-large": Rule("the file is larger than 1 MiB, or has too many values", "split it: one file per model and service"),
        "too-many": Rule("the file has more than 100 findings", "mend those named first, or write the file anew"),
        "encoding": Rule("the file is not plain UTF-8", "save the file as UTF-8 without byte order mark"),
        # the file as YAML
        "yaml-syntax": Rule("the text is not YAML", "mend the line named; lists and mappings are indented by two spaces"),
        "yaml-feature": Rule("a YAML feature that hides what is pinned", "write the value out where it is used"),
        "too-deep": Rule(
            "nested deeper than 50 levels", "remove the nesting; no key of the format needs more than three levels"
        ),
        "duplicate-key": Rule("a key is given twice", "remove one of the two lines"),
        # keys and types
        "schema-version": Rule("`schema` is missing or of another version", "write `schema: 1`"),
        "unknown-key": Rule("a key that the format does not have", "remove the key, or correct its spelling"),
        "missing-key": Rule("a required key is missing", "add the key; docs/files.md has an example of each file"),
        "null-value": Rule("a key without a value", "give it a value, or remove the line for the default"),
        "wrong-type": Rule("the value is of another type", "correct the value; quote it if it is text"),
        "bad-value": Rule("the value is not one of those allowed", "write one of the values named"),
        "placeholder": Rule("a placeholder was left in", "replace it by the real value"),
        # names
        "bad-name": Rule("the name cannot be used", "rename it; the file or folder and the name inside change together"),
        "same-name": Rule("two names differ only in the case of their letters", "rename one of the two"),
        "name-mismatch": Rule("the name inside differs from the file or folder name", "make the two names equal"),
        # pins
        "version-unquoted": Rule("the version is not in quotes", 'write the version in quotes, such as version: "8"'),
        "version-not-exact": Rule(
            "the version is not one exact MLflow version",
            "mlrelease bump {environment} {name} --to {version}    # an exact version number",
        ),
        "pin-digest": Rule(
            "the digest is not a full sha256",
            "mlrelease bump {environment} {name} --to {version}    # resolves and writes the digest",
        ),
        "foreign-digest": Rule(
            "the digest of a model is that of an image",
            "mlrelease bump {environment} {name} --to {version}    # resolves and writes the digest",
        ),
        "image-digest": Rule(
            "the image is not pinned by tag and digest",
            "docker buildx imagetools inspect REPOSITORY:TAG    # prints the digest to write behind the @",
        ),
        "pin-adjacent": Rule(
            "the pin has no blank lines around it, so that reverts conflict",
            "put a blank line before and after the pin, and nothing between version and digest",
        ),
        # files together
        "no-environments": Rule("there is nothing to release to", "mlrelease init .    # writes a working example"),
        "missing-environment-file": Rule("an environment without its own file", "add the file, or remove the folder"),
        "empty-environment": Rule(
            "an environment without services", "add a service file, or `state: absent` to the environment"
        ),
        "unknown-service": Rule("the model names a service that has no file", "correct the name, or add the service's file"),
        "service-without-models": Rule(
            "no model names this service", "add a model file that names it, or `state: absent` to the service"
        ),
        "unknown-environment": Rule(
            "promotes_from names no other environment", "name an existing environment, or remove the line"
        ),
        "idle-soak": Rule("a soak with no environment to soak in", "name that environment with promotes_from, or remove soak"),
        "undeclared": Rule(
            "the ledger has what the files no longer name",
            "git checkout COMMIT~1 -- PATH, then write `state: absent` into it",
        ),
        "listen-conflict": Rule("two environments listen on one address", "give each environment its own port"),
        "alias-conflict": Rule("two environments write the same alias", "give each environment its own alias"),
        # policy
        "unknown-gate": Rule("a gate that does not exist", "name one of the gates that exist"),
        "no-gates": Rule(
            "nothing is checked before this model goes live", "add the gates exists and digest to the environment"
        ),
        "gate-twice": Rule("one gate is listed twice, so that only the last would count", "remove one of the two entries"),
        "not-waivable": Rule(
            "a waiver for a gate that no person can open", "remove the waiver; mend what the gate found, or pin another version"
        ),
        "tracking-uri": Rule("the MLflow address is not usable", "write an http(s) address or ${{MLFLOW_TRACKING_URI}}"),
        "literal-secret": Rule(
            "a secret stands in the file", "write ${{NAME}}, set the variable where mlrelease runs, and change the secret"
        ),
        "variable-unset": Rule("a variable that the files need is not set", "export NAME=…    # where mlrelease runs"),
    }
)


@dataclass(frozen=True, slots=True)
class Defect:
    """A broken rule at a place of one file, before it is known whom it blocks. `found` is as it stands in the file."""

    rule: str
    message: str
    line: int = 0
    column: int = 0
    found: str = ""
    expected: str = ""
    fix: str = ""

    def at(
        self, path: str, *, environment: str = "", service: str = "", name: str = "NAME", version: str = "VERSION"
    ) -> Finding:
        """The finding: made printable, cut to a token, with the rule's usual fix unless the defect has its own."""
        known = {"environment": _word(environment, "ENVIRONMENT"), "name": _word(name, "NAME"), "version": version}
        return Finding(
            path=path,
            line=self.line,
            column=self.column,
            rule=self.rule,
            message=shown(self.message, _LONG),
            found=token(self.found),
            expected=shown(self.expected, _LONG),
            fix=shown(self.fix or RULES[self.rule].fix.format(**known), _LONG),
            environment=environment,
            service=service,
        )


def _word(name: str, otherwise: str) -> str:
    """`name` where it can stand in a command as it is."""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name) else otherwise


class WrongValueError(ValueError):
    """A value breaks a rule: raised by the functions of `values`, turned into a `Defect` by `check`."""

    def __init__(self, rule: str, message: str, expected: str, *, fix: str = "", found: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.expected = expected
        self.fix = fix
        self.found = found
