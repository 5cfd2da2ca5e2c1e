"""What the demo deploys: a classifier, a regressor and a fleet of forecasts, on data that scikit-learn and statsmodels ship.

Here: their names and versions, without anything heavy. `python -m mlrelease.demo.models URI` trains and registers them;
`tabular` has the two, `forecasts` the fleet, `hostile` the version that would run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TUMOUR, PROGRESSION, FORECASTS = "tumour", "progression", "forecasts"
"""The services. The first two serve one model of their own name each, the third the whole fleet."""

SAMPLES = "test_rows"
"""The metric that says on how many rows the others were measured."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of a tabular model: what it is, its estimator's parameters, and the columns that it calls otherwise."""

    model: str
    version: str
    note: str
    params: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


GOOD, BETTER, THIRD, HOSTILE = "1", "2", "3", "4"
"""The versions of `tumour` and `progression`, in the order of registration. The third is the one that a gate refuses."""

FIRST = (
    Recipe(TUMOUR, GOOD, "naive Bayes"),
    Recipe(PROGRESSION, GOOD, "ridge regression, strongly regularised", {"alpha": 2.0}),
)
"""What the story begins with."""

LATER = (
    Recipe(TUMOUR, BETTER, "logistic regression", {"C": 1.0}),
    Recipe(PROGRESSION, BETTER, "ridge regression, hardly regularised", {"alpha": 0.01}),
    Recipe(TUMOUR, THIRD, "logistic regression, regularised far too much", {"C": 0.0002}),
    Recipe(PROGRESSION, THIRD, "as version 2, with a column renamed", {"alpha": 0.01}, {"bmi": "body_mass_index"}),
)
"""What is registered while the story goes on, in this order; the hostile version of `tumour` comes after them."""

FIRST_DONE, LATER_DONE, FLEET_DONE = "ready to begin:", "ready to go on:", "fleet retrained:"
"""How the lines begin by which the story knows how far the training is."""
