"""A probe that came during the switch rolled back a healthy build.

Settle first, then so many right answers in a row, of so many tries: "not yet" is not "bad".
"""

from __future__ import annotations

import pytest
from mlrelease.delivery import probes
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.probes import PROOF_TRIES, PROOFS
from mlrelease.model.change import Outcome

ALSO = ("tests/unit/delivery/test_probes.py::test_not_yet_is_not_bad",)


@pytest.mark.parametrize("refused", [1, 3, PROOF_TRIES - PROOFS], ids=["once", "three times", "as often as may be"])
def test_row_10_a_proxy_that_needs_a_moment_is_given_it(deployed, monkeypatch, refused):
    """So many wrong answers just after the switch, and the update succeeds all the same."""
    monkeypatch.setattr(probes, "POLL_S", 0.0)
    deployed.bump("wine", "2")
    deployed.target.not_yet = refused
    result = deployed.run()
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED
    assert deployed.target.not_yet == 0
    assert deployed.live() == {"wine": "2"}


def test_row_10_one_right_answer_is_no_proof(deployed, monkeypatch):
    """A proxy that answers rightly only now and then never gives the row that counts: version 1 comes back."""
    monkeypatch.setattr(probes, "POLL_S", 0.0)
    deployed.bump("wine", "2")
    deployed.target.every_other = deployed.desired().spec.environments["production"].services["wine"].bundle.id
    result = deployed.run()
    assert (result.receipts["wine"].outcome, exit_code(result)) == (Outcome.ROLLED_BACK, 6)
    assert deployed.live() == {"wine": "1"}
