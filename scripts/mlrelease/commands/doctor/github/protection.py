"""Checks of the rules: the tracked branch, the ledger's branch, the release tags."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, unknown, warn
from mlrelease.commands.doctor.github.asking import LEDGER_BRANCH, Asked, check
from mlrelease.commands.doctor.github.rules import Rules

REQUIRED_CHECKS = ("validate/offline", "validate/online")
"""The checks that a pull request has to pass. `all-green` runs after the merge: required here, it would never come."""


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about rules."""
    if (asked := patient.github) is None:
        return
    for id_, ask in (
        ("branch-reviews", reviews),
        ("branch-checks", required_checks),
        ("branch-history", history),
        ("branch-bypass", bypass),
        ("ledger-rules", ledger),
        ("tag-rules", tags),
    ):
        yield check(asked, id_, lambda ask=ask: ask(asked))  # type: ignore[misc]


def reviews(asked: Asked) -> Found:
    """Nothing comes in but by a pull request that a code owner approved as it is merged."""
    rules = asked.rules(asked.branch)
    if not rules.has("pull_request"):
        return _lacking(rules, [f"{asked.branch} takes pushes without a pull request"], "main.json", asked)
    lacking = [] if rules.approvals else ["no approval is needed"]
    if not rules.asks_code_owners:
        lacking.append("code owners are not asked: CODEOWNERS only suggests")
    if lacking:
        return _lacking(rules, lacking, "main.json", asked)
    said = f"a pull request with {rules.approvals} approval{'s' if rules.approvals > 1 else ''}, code owners asked"
    if not rules.is_approval_of_last_push:
        return warn(f"{said}; but an approval outlives later pushes", _fix(asked, "main.json"))
    return ok(said)


def required_checks(asked: Asked) -> Found:
    """The checks are required, and ran on top of the newest commit."""
    rules = asked.rules(asked.branch)
    missing = [name for name in REQUIRED_CHECKS if name not in rules.checks]
    if missing:
        return _lacking(rules, [f"not required: {', '.join(missing)}"], "main.json", asked)
    if not rules.is_up_to_date:
        return warn("they may have run before the newest commit of the branch", _fix(asked, "main.json"))
    return ok(f"required: {', '.join(sorted(rules.checks))}")


def history(asked: Asked) -> Found:
    """The branch is neither rewritten nor deleted."""
    rules = asked.rules(asked.branch)
    lacking = _rewritable(rules)
    return _lacking(rules, lacking, "main.json", asked) if lacking else ok("no force push, no deletion")


def bypass(asked: Asked) -> Found:
    """Nobody is free of the rules; or it is said who."""
    rules = asked.rules(asked.branch)
    if not rules.rules:
        return _lacking(rules, [f"no rule holds for {asked.branch}"], "main.json", asked)
    free = rules.may_bypass("pull_request", "required_status_checks", "non_fast_forward", "deletion")
    if free is None:
        return unknown("GitHub does not tell this token who is free of them", "a token with Administration: write shows it")
    if free:
        return warn(
            f"free of a rule: {', '.join(map(str, free))}", "take them off the bypass lists, or know why they are there"
        )
    return ok("nobody is free of the rules" if rules.is_whole else "nobody is free of the rulesets")


def ledger(asked: Asked) -> Found:
    """The ledger only grows, its writers are named, and nothing keeps them from writing."""
    rules = asked.rules(LEDGER_BRANCH)
    lacking = _rewritable(rules)
    if lacking:
        return _lacking(rules, [f"{LEDGER_BRANCH}: {text}" for text in lacking], "ledger.json", asked)
    if rules.has("pull_request") or rules.has("required_status_checks"):
        return bad(
            f"{LEDGER_BRANCH} takes no push: rules for pull requests hold there too", "narrow them to the tracked branch"
        )
    if not rules.has("update"):
        return warn("append-only, but whoever may push may write to it", _fix(asked, "ledger-writers.json"))
    writers = rules.may_bypass("update")
    if writers is None:
        return ok("append-only; GitHub does not tell this token who may write")
    if not writers:
        return bad(f"nobody may write to {LEDGER_BRANCH}", "name the deploy key or App: .github/rulesets/ledger-writers.json")
    if rewriters := rules.may_bypass("non_fast_forward", "deletion"):
        return warn(f"append-only, but not for {', '.join(map(str, rewriters))}", _fix(asked, "ledger.json"))
    return ok(f"append-only; written by {', '.join(map(str, writers))}")


def tags(asked: Asked) -> Found:
    """A release tag stays where it is, and not everybody makes one."""
    rules = asked.tag_rules()
    lacking = [text for kind, text in (("update", "moved"), ("deletion", "deleted")) if not rules.has(kind)]
    if lacking:
        return _lacking(rules, [f"tags v* can be {' and '.join(lacking)}"], "tags.json", asked)
    if free := rules.may_bypass("update", "deletion"):
        return warn(f"tags v* stay, but not for {', '.join(map(str, free))}", _fix(asked, "tags.json"))
    if not rules.has("creation"):
        return warn("tags v* stay, but whoever may push may make one", _fix(asked, "tag-writers.json"))
    makers = rules.may_bypass("creation")
    if makers == ():
        return bad("nobody may make a tag v*", "name the App or the maintainers: .github/rulesets/tag-writers.json")
    return ok("tags v* stay" + (f"; made by {', '.join(map(str, makers))}" if makers else ""))


def _rewritable(rules: Rules) -> list[str]:
    words = (("non_fast_forward", "force pushes are allowed"), ("deletion", "it can be deleted"))
    return [text for kind, text in words if not rules.has(kind)]


def _lacking(rules: Rules, what: list[str], ruleset: str, asked: Asked) -> Found:
    """What is missing: bad, or unknown while it may stand where the token does not see it."""
    if not rules.is_whole:
        return unknown(
            f"{'; '.join(what)}, as far as this token sees: some protection is not shown to it",
            "a token with Administration: read",
        )
    return bad("; ".join(what), _fix(asked, ruleset))


def _fix(asked: Asked, ruleset: str) -> str:
    return f"gh api repos/{asked.name}/rulesets --input .github/rulesets/{ruleset}"
