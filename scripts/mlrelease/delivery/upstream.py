"""The history of the environment that another one promotes from, read for a pass."""

from __future__ import annotations

from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.history.fold import History, fold
from mlrelease.log import get


def source_history(site: Site) -> History | None:
    """The history of `promotes_from`; None where there is none, or where its ledger does not hold together.

    It lies on the branch that was just fetched for the environment itself, so nobody is asked again: an agent pays one
    `git ls-tree` for it at each look.
    """
    name = site.environment.promotes_from
    if not name:
        return None
    try:
        view = site.ledger.read(name, fetch=False)
    except Error as error:
        broken = error.message
    else:
        broken = view.broken
    if broken:
        get("look").warning("the ledger of the environment promoted from cannot be read", environment=name, error=broken)
        return None
    return fold(name, view.events)
