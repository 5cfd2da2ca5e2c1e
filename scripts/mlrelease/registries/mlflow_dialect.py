"""How an MLflow server says no: its error codes and messages, and what to set where credentials or hosts are refused."""

from __future__ import annotations

import json

from mlrelease.http.dialect import RETRIED, Refusal, Retry
from mlrelease.http.errors import HttpError
from mlrelease.http.words import clean, retry_after_s

_CREDENTIALS_HINT = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


class MlflowDialect:
    """The `Dialect` of MLflow's REST API."""

    address_hint = (
        "is it running? the address comes from tracking_uri in environments/<env>/environment.yaml or MLFLOW_TRACKING_URI"
    )
    setting = "tracking_uri"
    kind = "an MLflow server"
    tls_hint = "name the server's CA file in MLFLOW_TRACKING_SERVER_CERT_PATH"

    def judge(self, server: str, refusal: Refusal) -> Retry:
        """See `Dialect`: `500 INTERNAL_ERROR: …`, or the error for a 4xx answer."""
        code, message = _mlflow_error(refusal)
        if refusal.status not in RETRIED:
            raise _refused(server, refusal, code, message)
        words = " ".join(part for part in (str(refusal.status), f"{code}: {message}" if code else "") if part)
        return Retry(words, after_s=retry_after_s(refusal.headers.get("Retry-After", "")))


def _refused(server: str, refusal: Refusal, code: str, message: str) -> HttpError:
    status = refusal.status
    if status == 401:
        return HttpError(status, code, f"{server} refused the credentials (401)", hint=_CREDENTIALS_HINT)
    if status == 403 and b"Invalid Host header" in refusal.body:
        return HttpError(
            status,
            code,
            f"{server} refuses requests under this host name (403, Invalid Host header)",
            hint="start it with `mlflow server --allowed-hosts` naming this host, with and without the port",
        )
    if status == 403:
        detail = f": {message}" if message else ""
        return HttpError(status, code, f"{server} denies access (403){detail}", hint=_CREDENTIALS_HINT)
    if not code:
        return HttpError(
            status,
            code,
            f"{server} answered {status} without an MLflow error code: something else may be listening there",
            hint="check tracking_uri, with its path prefix if there is one",
        )
    return HttpError(status, code, f"{server} answered {status} {code}: {message}")


def _mlflow_error(refusal: Refusal) -> tuple[str, str]:
    if "json" not in refusal.content_type:
        return "", ""
    try:
        data = json.loads(refusal.body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(data, dict) or not isinstance(data.get("error_code"), str):
        return "", ""
    return clean(data["error_code"]), clean(str(data.get("message", "")))
