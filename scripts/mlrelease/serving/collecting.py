"""Loading without the collector of cycles: it would look through what the libraries make, again and again, and free nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No cycle is collected within, and what was made within is not looked through afterwards either (`gc.freeze`).

    Importing MLflow and scikit-learn takes a seventh less. A look through all that they made costs a quarter of a second; in
    a fork it writes to pages that were shared with the parent.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
