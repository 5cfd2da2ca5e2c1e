"""The workflow `deploy.yml`, made from the environments of a repository. Pure: the template's text comes in.

It is made, and not a matrix over what a job finds out at run time: a matrix has no order between environments, an approver
looks for a job with the environment's name, and what a reviewer reads in a pull request is what will run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from mlrelease.model.spec import EnvironmentSpec, State

PATH = ".github/workflows/deploy.yml"


@dataclass(frozen=True, slots=True)
class Stage:
    """One environment on the way: after which other one, and whether forward changes wait for an approval."""

    name: str
    approval: bool
    after: str = ""


def stages(environments: Iterable[EnvironmentSpec]) -> tuple[Stage, ...]:
    """The environments in the order of promotion, by name where nothing orders them. One that is to be removed is none.

    A source that is not there orders nothing, and of a circle (a finding elsewhere) each environment is still named once.
    """
    present = {env.name: env for env in environments if env.state is State.PRESENT}
    found: dict[str, Stage] = {}

    def place(name: str, behind: tuple[str, ...]) -> None:
        env = present[name]
        source = env.promotes_from if env.promotes_from in present and env.promotes_from not in (*behind, name) else ""
        if source and source not in found:
            place(source, (*behind, name))
        found.setdefault(name, Stage(name, env.approval_required, source))

    for name in sorted(present):
        place(name, ())
    return tuple(found.values())


def deploy_workflow(template: str, on: Iterable[Stage], *, branch: str) -> bytes:
    """The text of the workflow for the environments, pushed to `branch`; empty without environments: it would have no job."""
    from jinja2 import StrictUndefined  # noqa: PLC0415 - 40 ms that only `init` and `new` pay
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    staged = tuple(on)
    if not staged:
        return b""
    # GitHub's own expressions have double braces: ours are square
    made = ImmutableSandboxedEnvironment(
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        undefined=StrictUndefined,
        autoescape=False,  # YAML, not HTML: names have been checked, and the branch is quoted
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    needs = "[" + ", ".join(f"deploy-{stage.name}" for stage in staged) + "]"
    text = made.from_string(template).render(stages=staged, branch=quoted(branch), needs=needs)
    return str(text).encode()


def quoted(branch: str) -> str:
    """A branch as a YAML scalar: plain where that is beyond doubt."""
    plain = branch.isascii() and branch.replace("-", "").replace("_", "").isalnum() and branch[0].isalpha()
    words = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    if plain and branch.lower() not in words:
        return branch
    # JSON would escape what lies beyond U+FFFF as two halves, which YAML does not put together again
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(branch, ensure_ascii=False))


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if sign <= "\uffff" else f"\\U{ord(sign):08x}"
