"""One request of MLflow's scoring protocol against one loaded model: JSON bytes in, JSON bytes out, or a `Refusal`.

Imports MLflow, which costs seconds: only the loader's thread and the isolated child of `golden` import this module.
Parsing and the form of the answer are MLflow's own (`mlflow.pyfunc.scoring_server`), so that they are those of
`mlflow models serve`. Two things differ on purpose: NaN and infinity are answered as null, where MLflow 3.17 writes
bare `NaN`, which is not JSON; and a fault of the model is 500, where MLflow says 400.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import mlflow.pyfunc
import numpy as np
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import infer_and_parse_data
from mlflow.utils.proto_json_utils import NumpyEncoder

from mlrelease.log import get
from mlrelease.serving.refusal import Refusal, bad_request, model_fault
from mlrelease.serving.requirements import differences

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

# A model may be code. Its bytecode does not belong into its folder: the bytes there are those of the pin, and nothing else.
sys.dont_write_bytecode = True

if hasattr(yaml, "CSafeLoader"):
    # MLflow reads each MLmodel three times with the loader written in Python, half of the time that a small model takes to
    # load. The same loader on libyaml is seven times as fast, which a service of a thousand models notices.
    yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[misc, assignment]

_ENFORCED = re.compile(r"Failed to enforce schema of data .* Error: (.*)", re.DOTALL)


class Scorer(Protocol):
    """A model that is loaded."""

    def score(self, body: bytes) -> bytes:
        """The JSON answer to a request. Raises `Refusal`."""
        ...

    def predict(self, payload: Mapping[str, Any]) -> Any:
        """The predictions for a request that is parsed already, as JSON values. Raises `Refusal`."""
        ...


def load(path: Path) -> Scorer:
    """The model in a folder, unpickled: its code runs here. Raises whatever the model raises."""
    if found := differences(path):
        get("serving").warning("not what the model was logged with", folder=str(path), differences=found)
    return _PyFunc(mlflow.pyfunc.load_model(str(path), suppress_warnings=True))


def mlflow_version() -> str:
    """The version of the MLflow that loads and parses here."""
    return str(mlflow.__version__)


class _PyFunc:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._schema = model.metadata.get_input_schema()
        # As in MLflow's own server: with a signature from type hints the data goes to the model unparsed.
        self._typed = model.metadata._is_signature_from_type_hint()  # noqa: SLF001 - there is no public way to ask

    def score(self, body: bytes) -> bytes:
        return _answer(self._predict(_decoded(body)))

    def predict(self, payload: Mapping[str, Any]) -> Any:
        return json.loads(_answer(self._predict(payload)))["predictions"]

    def _predict(self, payload: Mapping[str, Any]) -> Any:
        name, params = _one_format(payload)
        data = self._parsed(name, payload)
        if _rows(data) == 0:
            raise bad_request(f"{name} holds no rows", name)
        try:
            return self._model.predict(data, params=params)
        except MlflowException as e:
            # MLflow's own refusals come before the model's code runs; its other codes are faults inside.
            if e.error_code == "INVALID_PARAMETER_VALUE":
                raise self._refused(e.message, name) from e
            raise _fault(e) from e
        except (ValueError, TypeError) as e:
            # A signature does not say whether a column may be null. Where one is, and the model then refuses the rows,
            # the rows are at fault: a client must not be able to make a good version look broken.
            missing = _columns_without_value(data)
            if missing:
                text = f"the model refuses rows without a value: {', '.join(missing)}"
                raise bad_request(text, missing[0]) from e
            raise _fault(e) from e
        except Exception as e:
            raise _fault(e) from e

    def _parsed(self, name: str, payload: Mapping[str, Any]) -> Any:
        if self._typed:
            if name != "inputs":
                raise bad_request("this model's signature comes from type hints: use inputs", name)
            return payload["inputs"]
        try:
            return infer_and_parse_data({name: payload[name]}, self._schema)
        except MlflowException as e:
            column = self._unreadable(payload[name])
            raise bad_request(f"{column}: {e.message}", column) if column else self._refused(e.message, name) from e
        except Exception as e:
            raise bad_request(f"{name} cannot be read: {_line(e)}", name) from e

    def _unreadable(self, given: Any) -> str:
        """The first column of `inputs` or `instances` that does not fit its type: there MLflow names none."""
        records = given if isinstance(given, list) else [given]
        for column in self._names():
            values = [record[column] for record in records if isinstance(record, dict) and column in record]
            try:
                for value in values:
                    infer_and_parse_data({"inputs": {column: value}}, self._schema)
            except MlflowException:
                return column
        return ""

    def _refused(self, message: str, name: str) -> Refusal:
        """400 with MLflow's reason, without the data that it repeats, and the first column of the signature that it names."""
        enforced = _ENFORCED.search(message)
        text = (enforced.group(1) if enforced else message).partition("\n")[0]
        return bad_request(text, self._column(text) or ("params" if "param" in text.lower() else name))

    def _column(self, text: str) -> str:
        for column in self._names():
            quoted = re.escape(column)
            if re.search(rf"['`\"]{quoted}['`\"]|column {quoted}[ .]", text):
                return column
        return ""

    def _names(self) -> list[str]:
        """The columns of the signature, if it names any."""
        has_names = self._schema is not None and self._schema.has_input_names()
        return [str(name) for name in self._schema.input_names()] if has_names else []


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as e:
        place = f" (line {e.lineno}, column {e.colno})" if isinstance(e, json.JSONDecodeError) else ""
        raise bad_request(f"the body is not JSON{place}", "body") from e
    if not isinstance(payload, dict):
        raise bad_request(f"the body must be an object with one of {', '.join(FORMATS)}", "body")
    return payload


def _one_format(payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    found = [name for name in FORMATS if name in payload]
    if len(found) != 1:
        what = "none" if not found else " and ".join(found)
        raise bad_request(f"the body must hold exactly one of {', '.join(FORMATS)}; it holds {what}", "body")
    unknown = sorted(set(payload) - {found[0], "params"})
    if unknown:
        raise bad_request(f"unknown key {unknown[0]!r} beside {found[0]}", unknown[0])
    params = payload.get("params")
    if params is not None and not isinstance(params, dict):
        raise bad_request("params must be an object", "params")
    return found[0], params


def _rows(data: Any) -> int:
    if isinstance(data, dict):
        return max((_rows(value) for value in data.values()), default=0)
    if isinstance(data, np.ndarray) and data.ndim == 0:
        return 1
    return len(data) if isinstance(data, list | np.ndarray | pd.DataFrame) else 1


def _columns_without_value(data: Any) -> list[str]:
    """The columns that hold null, NaN or infinity."""
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if isinstance(value, np.ndarray)}
    elif not isinstance(data, pd.DataFrame):
        data = {"inputs": data} if isinstance(data, np.ndarray) else {}
    return [
        str(key) for key, values in data.items() if any(_is_missing(value) for value in np.asarray(values).ravel().tolist())
    ]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or value is pd.NaT or value is pd.NA


def _answer(raw: Any) -> bytes:
    """`{"predictions": …}` in the form of MLflow's server. Raises `Refusal` when the predictions have no JSON form."""
    if isinstance(raw, np.ndarray):
        raw = raw.tolist()
    elif isinstance(raw, pd.Series | pd.DataFrame):
        raw = pd.DataFrame(raw).to_dict(orient="records")
    try:
        try:
            return json.dumps({"predictions": raw}, cls=NumpyEncoder, allow_nan=False).encode()
        except ValueError:  # NaN or infinity somewhere: only then pay for looking at every value
            plain = json.loads(json.dumps({"predictions": raw}, cls=NumpyEncoder))
            return json.dumps(_without_nan(plain), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as e:
        get("serving").error("predictions without a JSON form", kind=type(raw).__name__)
        raise model_fault(f"the model's predictions ({type(raw).__name__}) cannot be written as JSON") from e


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fault(error: Exception) -> Refusal:
    """500 that names the kind of exception only: its text can hold data; the log has the rest."""
    get("serving").error("the model raised an exception", exc_info=error)
    return model_fault(f"the model raised {type(error).__name__}; the server's log says more")


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
