"""What a branch or a tag is kept from on GitHub, folded from rulesets and from classic branch protection. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlrelease.commands.doctor.github.shape import items, mapping, mappings, number

CLASSIC, CLASSIC_PUSH = 0, -1
"""What stands for classic branch protection, and for its list of who may push, where a ruleset has its id."""

_ROLES = {1: "read", 2: "maintain", 3: "triage", 4: "write", 5: "admin"}
"""The built-in repository roles by the id that a ruleset names them with."""


@dataclass(frozen=True, slots=True, order=True)
class Bypass:
    """Somebody whom a rule does not bind. `mode`: `always`, `exempt`, or `pull_request` (only in a pull request)."""

    who: str
    mode: str = "always"

    def __str__(self) -> str:
        return f"{self.who} (in pull requests)" if self.mode == "pull_request" else self.who


@dataclass(frozen=True, slots=True)
class Rule:
    """One active rule: GitHub's name of it, its parameters, and the ruleset that it comes from."""

    type: str
    ruleset: int
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """All that holds for one ref.

    `bypass`: per ruleset who is not bound by it; a ruleset that does not tell is left out. `is_whole` is false where
    classic protection, or a ruleset, could not be read: what is missing here may then be there.
    """

    rules: tuple[Rule, ...] = ()
    bypass: Mapping[int, tuple[Bypass, ...]] = field(default_factory=dict)
    is_whole: bool = True

    def of(self, kind: str) -> tuple[Rule, ...]:
        """The rules of one type."""
        return tuple(rule for rule in self.rules if rule.type == kind)

    def has(self, kind: str) -> bool:
        """Whether there is such a rule."""
        return bool(self.of(kind))

    @property
    def approvals(self) -> int:
        """How many approvals a pull request needs: the largest number counts."""
        return max(
            (number(rule.parameters.get("required_approving_review_count")) for rule in self.of("pull_request")), default=0
        )

    @property
    def asks_code_owners(self) -> bool:
        """Whether CODEOWNERS is more than a suggestion."""
        return any(rule.parameters.get("require_code_owner_review") is True for rule in self.of("pull_request"))

    @property
    def is_approval_of_last_push(self) -> bool:
        """Whether what is merged is what was approved: a later push takes the approval away, or needs one of its own."""
        names = ("dismiss_stale_reviews_on_push", "require_last_push_approval")
        return any(rule.parameters.get(name) is True for rule in self.of("pull_request") for name in names)

    @property
    def merge_methods(self) -> frozenset[str] | None:
        """The ways to merge that every rule allows; None where no rule says anything about them."""
        lists = [rule.parameters.get("allowed_merge_methods") for rule in self.of("pull_request")]
        kept = [frozenset(map(str, found)) for found in map(items, lists) if found]
        if self.has("required_linear_history"):
            kept.append(frozenset({"squash", "rebase"}))
        return frozenset.intersection(*kept) if kept else None

    @property
    def checks(self) -> frozenset[str]:
        """The checks that have to be green."""
        found: set[str] = set()
        for rule in self.of("required_status_checks"):
            found |= {
                str(check["context"]) for check in mappings(rule.parameters.get("required_status_checks")) if "context" in check
            }
        return frozenset(found)

    @property
    def is_up_to_date(self) -> bool:
        """Whether what is merged was checked on top of the newest commit."""
        strict = "strict_required_status_checks_policy"
        return self.has("merge_queue") or any(r.parameters.get(strict) is True for r in self.of("required_status_checks"))

    def may_bypass(self, *kinds: str) -> tuple[Bypass, ...] | None:
        """Who is bound by none of the rules of one of these types, sorted; None where a ruleset does not tell.

        Rules add up: who bypasses one ruleset is still bound by the same rule of another.
        """
        found: set[Bypass] = set()
        for kind in kinds:
            rulesets = {rule.ruleset for rule in self.of(kind)}
            if not rulesets:
                continue
            if not rulesets <= self.bypass.keys():
                return None
            found |= set.intersection(*(set(self.bypass[id_]) for id_ in rulesets))
        return tuple(sorted(found))

    def with_(self, other: Rules) -> Rules:
        """Both together."""
        return Rules(self.rules + other.rules, {**self.bypass, **other.bypass}, self.is_whole and other.is_whole)


def of_branch(answer: Sequence[Any], rulesets: Mapping[int, Mapping[str, Any]]) -> Rules:
    """The rules that `GET /rules/branches/BRANCH` lists; `rulesets` are those that could be read, by id."""
    rules = tuple(
        Rule(str(found.get("type", "")), number(found.get("ruleset_id")), mapping(found.get("parameters")))
        for found in mappings(answer)
    )
    return Rules(rules, _bypass(rulesets))


def of_ref(ref: str, rulesets: Mapping[int, Mapping[str, Any]]) -> Rules:
    """The rules of the active rulesets whose conditions name `ref` (`refs/tags/v1.0.0`): there is no question for tags."""
    rules: list[Rule] = []
    for id_, ruleset in rulesets.items():
        target = "tag" if ref.startswith("refs/tags/") else "branch"
        if ruleset.get("enforcement") != "active" or ruleset.get("target", "branch") != target or not _names(ruleset, ref):
            continue
        rules += [
            Rule(str(rule.get("type", "")), id_, mapping(rule.get("parameters"))) for rule in mappings(ruleset.get("rules"))
        ]
    return Rules(tuple(rules), _bypass(rulesets))


def of_classic(answer: Mapping[str, Any]) -> Rules:
    """What `GET /branches/BRANCH/protection` says, in the words of rulesets."""
    rules: list[Rule] = []
    reviews = answer.get("required_pull_request_reviews")
    if isinstance(reviews, Mapping):
        parameters = {
            "required_approving_review_count": reviews.get("required_approving_review_count"),
            "require_code_owner_review": reviews.get("require_code_owner_reviews"),
            "dismiss_stale_reviews_on_push": reviews.get("dismiss_stale_reviews"),
            "require_last_push_approval": reviews.get("require_last_push_approval"),
        }
        rules.append(Rule("pull_request", CLASSIC, parameters))
    checks = answer.get("required_status_checks")
    if isinstance(checks, Mapping):
        contexts = items(checks.get("contexts")) or [check.get("context") for check in mappings(checks.get("checks"))]
        parameters = {
            "required_status_checks": [{"context": context} for context in contexts],
            "strict_required_status_checks_policy": checks.get("strict"),
        }
        rules.append(Rule("required_status_checks", CLASSIC, parameters))
    rules += [
        Rule(kind, CLASSIC)
        for kind, allowed in (("non_fast_forward", "allow_force_pushes"), ("deletion", "allow_deletions"))
        if not _enabled(answer, allowed)
    ]
    if _enabled(answer, "required_linear_history"):
        rules.append(Rule("required_linear_history", CLASSIC))
    restrictions = answer.get("restrictions")
    if isinstance(restrictions, Mapping):
        rules.append(Rule("update", CLASSIC_PUSH))
    admins = () if _enabled(answer, "enforce_admins") else (Bypass("administrators"),)
    return Rules(tuple(rules), {CLASSIC: admins, CLASSIC_PUSH: (*admins, *_pushers(restrictions))})


def _pushers(restrictions: object) -> tuple[Bypass, ...]:
    """Who may push where classic protection restricts it: of that one rule, and of no other, they are free."""
    if not isinstance(restrictions, Mapping):
        return ()
    named = (("users", "login", "@{}"), ("teams", "slug", "team {}"), ("apps", "slug", "App {}"))
    return tuple(
        Bypass(text.format(found.get(key, "?"))) for place, key, text in named for found in mappings(restrictions.get(place))
    )


def _bypass(rulesets: Mapping[int, Mapping[str, Any]]) -> dict[int, tuple[Bypass, ...]]:
    """Who bypasses each ruleset. GitHub tells it only to those who may change the ruleset."""
    return {
        id_: tuple(
            Bypass(_who(actor), str(actor.get("bypass_mode") or "always")) for actor in mappings(ruleset["bypass_actors"])
        )
        for id_, ruleset in rulesets.items()
        if isinstance(ruleset.get("bypass_actors"), list)
    }


def _who(actor: Mapping[str, Any]) -> str:
    id_ = number(actor.get("actor_id"))
    match actor.get("actor_type"):
        case "OrganizationAdmin":
            return "organisation owners"
        case "RepositoryRole":
            return f"role {_ROLES.get(id_, id_)}"
        case "Integration":
            return f"App {id_}"
        case "DeployKey":
            return "deploy keys"
        case "Team":
            return f"team {id_}"
        case other:
            return f"{other} {id_}"


def _names(ruleset: Mapping[str, Any], ref: str) -> bool:
    names = mapping(mapping(ruleset.get("conditions")).get("ref_name"))
    include, exclude = items(names.get("include")), items(names.get("exclude"))
    return any(_matches(p, ref) for p in include) and not any(_matches(p, ref) for p in exclude)


def _matches(pattern: object, ref: str) -> bool:
    """Whether a condition names the ref: `~ALL`, or Ruby's fnmatch with FNM_PATHNAME (GitHub's documentation of rulesets)."""
    if pattern == "~ALL":
        return True
    parts = re.split(r"(\*\*/|\*+|\?)", str(pattern))
    wild = {"**/": "(?:.*/)?", "*": "[^/]*", "**": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(wild.get(part) or re.escape(part) for part in parts), ref) is not None


def _enabled(answer: Mapping[str, Any], name: str) -> bool:
    return mapping(answer.get(name)).get("enabled") is True
