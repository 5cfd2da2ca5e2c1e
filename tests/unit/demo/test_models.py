"""The versions are what the story says of them, measured: else the demo would show nothing."""

from __future__ import annotations

import io
import pickle
import pickletools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from mlrelease.demo.models import BETTER, FIRST, GOOD, HOSTILE, LATER, PROGRESSION, SAMPLES, THIRD, TUMOUR
from mlrelease.demo.models.forecasts import AHEAD, FLEET, HELD_OUT, KEPT, NAMES, Series, example, fit_all, observations
from mlrelease.demo.models.hostile import poison
from mlrelease.demo.models.tabular import train

RECIPES = {(recipe.model, recipe.version): recipe for recipe in (*FIRST, *LATER)}


@pytest.fixture(scope="module")
def trained():
    """Every tabular version: estimator, unseen rows, metrics."""
    return {key: train(recipe) for key, recipe in RECIPES.items()}


def metric(trained, model, version):
    return trained[model, version][2]["accuracy" if model == TUMOUR else "rmse"]


@pytest.mark.parametrize("model", [TUMOUR, PROGRESSION])
def test_versions_are_numbered_in_the_order_of_registration(model):
    """MLflow gives the numbers: the recipes have to name them as they will be, and the hostile one comes last."""
    assert [recipe.version for recipe in (*FIRST, *LATER) if recipe.model == model] == [GOOD, BETTER, THIRD]
    assert int(HOSTILE) == int(THIRD) + 1


def test_the_second_version_is_better(trained):
    """More accurate for the classifier, a smaller error for the regressor."""
    assert metric(trained, TUMOUR, BETTER) > metric(trained, TUMOUR, GOOD)
    assert metric(trained, PROGRESSION, BETTER) < metric(trained, PROGRESSION, GOOD)


def test_the_worse_classifier_is_worse_by_far_more_than_its_gate_allows(trained):
    """The gate allows two per cent of what version 1 reaches."""
    assert metric(trained, TUMOUR, THIRD) < 0.9 * metric(trained, TUMOUR, GOOD)


def test_the_worse_classifier_keeps_the_signature(trained):
    """It is refused for its metric alone."""
    assert list(trained[TUMOUR, THIRD][1].columns) == list(trained[TUMOUR, GOOD][1].columns)


def test_the_third_regressor_is_as_good_and_wants_another_column(trained):
    """It is refused for its signature alone: the numbers are those of version 2."""
    assert metric(trained, PROGRESSION, THIRD) == pytest.approx(metric(trained, PROGRESSION, BETTER))
    before, after = (set(trained[PROGRESSION, version][1].columns) for version in (BETTER, THIRD))
    assert (before - after, after - before) == ({"bmi"}, {"body_mass_index"})


@pytest.mark.parametrize("model", [TUMOUR, PROGRESSION])
def test_metrics_are_of_rows_that_were_not_trained_on(trained, model):
    """Their number is logged beside them: enough for the gate's minimum of 100."""
    _, unseen, metrics = trained[model, GOOD]
    assert metrics[SAMPLES] == len(unseen) >= 100


# -- the hostile version -----------------------------------------------------------------------------------------------


def test_the_hostile_pickle_leaves_a_trace_when_it_is_loaded(tmp_path):
    """That the demo finds no trace means that nobody loaded it. Loaded here in a process of its own."""
    trace = tmp_path / "a trace"
    path = tmp_path / "model.pkl"
    path.write_bytes(poison(trace))
    assert not trace.exists()
    subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))", str(path)], check=True, timeout=20
    )
    assert trace.read_text() == "somebody loaded the hostile pickle\n"


def test_the_hostile_pickle_names_a_shell(tmp_path):
    """It is what scanners look for, not something that only this project would find."""
    strings = [arg for op, arg, _ in pickletools.genops(poison(tmp_path / "x")) if isinstance(arg, str)]
    assert "system" in strings


# -- the fleet ---------------------------------------------------------------------------------------------------------


def test_the_fleet_is_of_real_series_each_with_a_name_of_its_own():
    """At least thirty, none twice."""
    assert len({(series.dataset, series.column) for series in FLEET}) == len(FLEET) == len(set(NAMES)) >= 30


@pytest.mark.parametrize("series", FLEET, ids=lambda series: series.name)
def test_a_series_is_long_enough_and_has_no_gap(series):
    """Both versions have something to fit and something to be measured on."""
    values = observations(series)
    assert len(values) >= 40
    assert np.isfinite(values).all()
    assert values.std() > 0


def fit(series, version):
    """One series alone."""
    return fit_all(version, [series])[series.name]


FEW = [series for series in FLEET if series.name in ("us-cpi", "nile", "co2", "german-interest")]


@pytest.mark.parametrize("series", FEW, ids=lambda series: series.name)
def test_a_forecast_is_what_the_whole_series_gives(series):
    """Keeping the last observations alone takes nothing from the forecast."""
    from statsmodels.tsa.arima.model import ARIMA

    fitted = fit(series, "2")
    model, metrics = fitted.model, fitted.metrics
    values = observations(series)[:-HELD_OUT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ARIMA(values, order=series.order).fit()
    assert model.nobs == KEPT
    assert np.asarray(model.forecast(AHEAD)) == pytest.approx(np.asarray(whole.forecast(AHEAD)), rel=1e-3)
    assert metrics[SAMPLES] == HELD_OUT
    assert np.isfinite(metrics["rmse"])


def test_the_second_version_has_seen_more():
    """Retrained on newer observations: another model, with other forecasts."""
    first, second = (fit(FEW[0], version).model for version in ("1", "2"))
    assert not np.allclose(first.forecast(AHEAD), second.forecast(AHEAD))


def test_a_saved_forecast_answers_its_example():
    """Pickled and read back, a prediction is the forecast: the example counts from the first observation that was kept."""
    model = fit(FEW[0], "1").model
    again = pickle.load(io.BytesIO(pickle.dumps(model)))
    ((start, end),) = example()["data"]
    assert again.predict(start=start, end=end) == pytest.approx(model.forecast(AHEAD))


def test_without_its_data_a_forecast_does_not_answer():
    """Why the last observations stay: the library's own way to drop data leaves a model that cannot predict."""
    model = fit(Series("nile", "nile", "volume", (1, 0, 0)), "1").model
    model.remove_data()
    with pytest.raises(TypeError):
        model.forecast(AHEAD)
