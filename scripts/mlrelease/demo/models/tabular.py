"""The classifier of tumours and the regressor of a disease's progression: trained, measured on unseen rows, registered.

Saved as skops, which names types and runs no code. Linear models and naive Bayes only: skops asks for trust in others.
"""

from __future__ import annotations

from typing import Any

from mlrelease.demo.models import SAMPLES, TUMOUR, Recipe

EXAMPLE_ROWS = 8
_UNSEEN = 0.3
_SEED = 7

# Given, so that MLflow does not spend two seconds per version on finding them out by loading the model.
REQUIREMENTS = ("mlflow", "scikit-learn", "pandas")


def train(recipe: Recipe) -> tuple[Any, Any, dict[str, float]]:
    """The fitted estimator, rows that it has not seen, and what it is worth on those: accuracy or rmse, and how many."""
    from sklearn.metrics import accuracy_score, root_mean_squared_error  # noqa: PLC0415 - seconds
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    rows, labels, stratify = _data(recipe.model)
    rows = rows.rename(columns=dict(recipe.renamed))
    seen, unseen, known, wanted = train_test_split(
        rows, labels, test_size=_UNSEEN, random_state=_SEED, stratify=labels if stratify else None
    )
    model = _estimator(recipe).fit(seen, known)
    said = model.predict(unseen)
    if recipe.model == TUMOUR:
        measured = {"accuracy": float(accuracy_score(wanted, said))}
    else:
        measured = {"rmse": float(root_mean_squared_error(wanted, said))}
    return model, unseen, measured | {SAMPLES: float(len(unseen))}


def register(recipe: Recipe) -> dict[str, float]:
    """Trains and registers one version in a run of its own; its metrics. Raises `SystemExit` for an unexpected number."""
    import mlflow  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    model, unseen, metrics = train(recipe)
    with mlflow.start_run(run_name=f"{recipe.model}: {recipe.note}"):
        mlflow.log_params({"kind": recipe.note, **recipe.params})
        mlflow.log_metrics(metrics)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=recipe.model,
            signature=infer_signature(unseen, model.predict(unseen)),
            input_example=unseen.head(EXAMPLE_ROWS),
            pip_requirements=list(REQUIREMENTS),
        )
    check_version(recipe.model, recipe.version, info.registered_model_version)
    return metrics


def check_version(model: str, expected: str, registered: Any) -> None:
    """Raises `SystemExit` when MLflow gave another number than the story says: the registry was not empty."""
    if str(registered) != expected:
        raise SystemExit(f"{model} is version {registered} where {expected} was expected: not an empty registry")


def _data(model: str) -> tuple[Any, Any, bool]:
    """Rows, labels, and whether a split keeps the labels' shares."""
    from sklearn.datasets import load_breast_cancer, load_diabetes  # noqa: PLC0415

    data = load_breast_cancer(as_frame=True) if model == TUMOUR else load_diabetes(as_frame=True)
    return data.data, data.target, model == TUMOUR


def _estimator(recipe: Recipe) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    if recipe.model != TUMOUR:
        return Ridge(**recipe.params)
    return make_pipeline(StandardScaler(), LogisticRegression(**recipe.params)) if recipe.params else GaussianNB()
