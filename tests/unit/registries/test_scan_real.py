"""The default policy against real models of real libraries: what MLflow writes for them passes, every name by name."""

from __future__ import annotations

import importlib
import io
import pickle
import time
import warnings

import pytest
from mlrelease.gates.scan import refusal
from mlrelease.gates.scan_names import ALLOWED, LOADERS, NAMES
from mlrelease.registries.scan import pickles, scan


def names_of(thing, protocol=5):
    """What a pickle of the thing would import; it must be followed to its end."""
    data = pickle.dumps(thing, protocol=protocol)
    found = pickles.walk(io.BytesIO(data), len(data), until=time.monotonic() + 60)
    assert found.problem == ""
    return set(found.globals)


@pytest.fixture(scope="module")
def wines():
    """Rows and classes."""
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True, as_frame=True)


def models(wines):
    """Fitted models by name: one of each kind whose instances hold something special."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    rows, classes = wines
    columns = ColumnTransformer([("a", StandardScaler(), ["alcohol"]), ("b", OneHotEncoder(handle_unknown="ignore"), ["hue"])])
    chosen = {
        "regression": LinearRegression(),
        "logistic": LogisticRegression(max_iter=10),
        "forest": RandomForestClassifier(3),
        "boosting": GradientBoostingClassifier(n_estimators=2),
        "histogram": HistGradientBoostingClassifier(max_iter=2),
        "pipeline": make_pipeline(StandardScaler(), SVC()),
        "columns": make_pipeline(columns, SGDClassifier()),
        "neighbours": KNeighborsClassifier(),
        "network": MLPClassifier(max_iter=2),
        "calibrated": CalibratedClassifierCV(LogisticRegression(max_iter=10)),
        "gaussian": GaussianProcessRegressor(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: model.fit(rows, classes) for name, model in chosen.items()}


MODELS = (
    *("regression", "logistic", "forest", "boosting", "histogram", "pipeline", "columns"),
    *("neighbours", "network", "calibrated", "gaussian"),
)


@pytest.fixture(scope="module")
def fitted(wines):
    """All of them, fitted once."""
    return models(wines)


@pytest.mark.parametrize("form", ["skops", "cloudpickle", "pickle"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_scikit_learn_passes_as_mlflow_writes_it(name, form, fitted, wines, tmp_path):
    """With its example and all the files around it, in each format."""
    import mlflow.sklearn
    import skops.io

    more = {}
    if form == "skops":
        more["skops_trusted_types"] = skops.io.get_untrusted_types(data=skops.io.dumps(fitted[name]))
    mlflow.sklearn.save_model(
        fitted[name],
        str(tmp_path / "model"),
        serialization_format=form,
        input_example=wines[0].head(3),
        pip_requirements=["scikit-learn"],
        **more,
    )
    report = scan(tmp_path / "model")
    assert refusal(report, ()) == ""
    assert {file.format for file in report.files} == {"MLmodel", "skops" if form == "skops" else "pickle"}
    assert not any(file.known for file in report.files)


def results():
    """Fitted models of statsmodels by name."""
    import numpy as np
    import pandas as pd
    import statsmodels.api as sm
    from statsmodels.tsa.arima.model import ARIMA

    noise = np.random.default_rng(0)
    months = pd.date_range("2020", periods=60, freq="MS")
    series = pd.Series(noise.random(60).cumsum() + 5, index=months)
    table = sm.add_constant(pd.DataFrame({"a": noise.random(60), "b": noise.random(60)}, index=months))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "ARIMA": ARIMA(series, order=(1, 1, 1)).fit(),
            "ARIMA with exogenous columns": ARIMA(series, exog=table[["a"]], order=(1, 0, 1), trend="ct").fit(),
            "ARIMA of an array": ARIMA(series.to_numpy(), order=(1, 1, 0)).fit(),
            "ARIMA of periods": ARIMA(series.to_period("M"), order=(1, 0, 0)).fit(),
            "SARIMAX": sm.tsa.SARIMAX(series, order=(1, 0, 0), seasonal_order=(1, 0, 0, 4)).fit(disp=0),
            "exponential smoothing": sm.tsa.ExponentialSmoothing(series, trend="add").fit(),
            "autoregression": sm.tsa.AutoReg(series, 2).fit(),
            "least squares": sm.OLS(series, table).fit(),
            "a generalised model": sm.GLM(series, table).fit(),
            "logit": sm.Logit((series > series.mean()).astype(int), table).fit(disp=0),
        }


def test_models_of_statsmodels_pass_as_mlflow_writes_them(tmp_path):
    """ARIMA in its forms, smoothing and regressions."""
    import mlflow.statsmodels

    for number, (name, model) in enumerate(results().items()):
        path = tmp_path / str(number)
        mlflow.statsmodels.save_model(model, str(path), pip_requirements=["statsmodels"])
        assert (name, refusal(scan(path), ())) == (name, "")


def test_a_model_fitted_from_a_formula_is_refused_by_name(tmp_path):
    """Its state would be evaluated as Python; a reviewer may still allow that."""
    import mlflow.statsmodels
    import pandas as pd
    import statsmodels.formula.api as formulas

    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.1, 2.9, 4.2]})
    mlflow.statsmodels.save_model(formulas.ols("y ~ x", rows).fit(), str(tmp_path / "m"), pip_requirements=["statsmodels"])
    found = {name for file in scan(tmp_path / "m").files for name in file.globals}
    assert "statsmodels.formula" in found
    assert "statsmodels.formula" in refusal(scan(tmp_path / "m"), tuple(found - {"statsmodels.formula"}))


def test_every_estimator_of_scikit_learn_is_on_the_list():
    """As the installed version defines them: a class that moved is found here, not by a user."""
    from sklearn.utils import all_estimators

    estimators = {f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators()}
    assert estimators - NAMES == set()


def test_frames_and_indexes_of_pandas_are_on_the_list():
    """What models keep of the data that they were fitted on."""
    import pandas as pd

    indexes = [
        pd.date_range("2020", periods=3, freq="MS"),
        pd.date_range("2020", periods=3, tz="UTC"),
        pd.period_range("2020", periods=3, freq="Q"),
        pd.timedelta_range("1D", periods=3),
        pd.CategoricalIndex(["a", "b", "a"]),
        pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]),
        pd.interval_range(0, 3),
        pd.RangeIndex(3),
    ]
    frames = [pd.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "c"]}, index=index) for index in indexes]
    values = [pd.Timestamp("2020"), pd.Timedelta("1D"), pd.Period("2020Q1"), pd.NaT, pd.NA, pd.array([1, None])]
    for protocol in (2, 4, 5):
        assert names_of([frames, values], protocol) - NAMES == set()


EXECUTING = (
    *("eval", "exec", "compile", "getattr", "setattr", "__import__", "open", "input", "type", "map", "filter", "super"),
    *("globals", "vars", "breakpoint", "memoryview", "delattr", "help", "exit"),
)


@pytest.mark.parametrize("name", EXECUTING)
def test_of_the_builtins_only_types_of_values_are_on_the_list(name):
    """Nothing that evaluates, opens, or reaches an attribute."""
    assert f"builtins.{name}" not in ALLOWED


FORBIDDEN = (
    *("os", "posix", "sys", "subprocess", "operator", "functools", "importlib", "ctypes", "pickle", "joblib", "cloudpickle"),
    *("dill", "runpy", "code", "pty", "shutil", "socket", "threading", "multiprocessing", "zoneinfo", "patsy", "formulaic"),
)


@pytest.mark.parametrize("module", FORBIDDEN)
def test_no_name_of_such_a_module_is_on_the_list(module):
    """Not one, whatever it is."""
    assert not {name for name in NAMES if name.split(".")[0] == module}


def test_every_name_is_what_it_claims_to_be():
    """A class, a number's function or a rebuilder, defined in its own package: never a module, never somebody else's import.

    A name that the installed version does not have (of other versions, of libraries that are not here) cannot be looked at.
    """
    seen, foreign = 0, set()
    homes = {"_codecs": "_codecs", "copyreg": "copyreg", "types": "types"}
    for full in sorted(NAMES):
        module, _, name = full.rpartition(".")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                thing = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        seen += 1
        assert type(thing).__name__ != "module", full
        package, home = module.partition(".")[0], str(getattr(thing, "__module__", None) or module).partition(".")[0]
        if home not in (package, homes.get(package), "builtins", "_codecs"):
            foreign.add((full, home))
    assert seen > 600
    # pandas answers for pyarrow's; `_loss` and `_ball_tree` are how Cython's modules call themselves
    assert {home for _, home in foreign} <= {
        "_collections",
        "copy_reg",
        "_loss",
        "pyarrow",
        "_thread",
        "collections",
        "types",
    }, foreign


def test_the_loaders_are_mlflows_own():
    """Each can be imported as it stands here, and loads models (where its library is not here, the file exists)."""
    from importlib.util import find_spec

    for loader in LOADERS:
        name = loader.removeprefix("loader:")
        assert name.startswith("mlflow.")
        assert find_spec(name) is not None
