"""A local GitHub: REST API, `git http-backend`, rules, faults. Built after GitHub's REST documentation, for tests alone.

What it does not have: GraphQL (but `viewer`), webhooks, code-owner reviews, rebase merges. A module of this package that
is called `routes_*` adds routes by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from support.github_server.hub import ACTIONS_RIGHTS, Call, Hub
from support.github_server.serving import running_github
from support.github_server.state import Account, App, State
from support.github_server.web import (
    Fault,
    Problem,
    html,
    lost,
    rate_limited,
    reset,
    secondary,
    slow,
    status,
    truncated,
)

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("routes_"):
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "ACTIONS_RIGHTS",
    "Account",
    "App",
    "Call",
    "Fault",
    "Hub",
    "Problem",
    "State",
    "html",
    "lost",
    "rate_limited",
    "reset",
    "running_github",
    "secondary",
    "slow",
    "status",
    "truncated",
]
