"""The HTTP surface of the reference server (DESIGN §5.1). Imports FastAPI: only `server` imports this module."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mlrelease.log import bind
from mlrelease.model.live import Artifact
from mlrelease.serving.envelope import CLIENT_GONE, Call, Envelope
from mlrelease.serving.metrics import Metrics
from mlrelease.serving.refusal import Refusal, bad_request
from mlrelease.serving.state import ServerState

if TYPE_CHECKING:
    from mlrelease.serving.scoring import Scorer

LARGEST_BODY = 16 << 20
"""Bytes of one request. More is refused: 50 of these at a time must fit into memory beside the model."""

_LARGEST_DISCARDED = 64 << 20
_JSON = "application/json"


def make_app(state: ServerState, metrics: Metrics, pool: Executor) -> Envelope:
    """The application; predictions run in `pool`."""
    # No redirects to a path without its last slash: behind a prefix they would lead to another service, or to none.
    app = FastAPI(title=state.config.service, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/ready")
    async def ready() -> Response:
        reason = state.not_ready()
        return JSONResponse({"ready": not reason, "reason": reason}, 503 if reason else 200)

    @app.get("/identity")
    async def identity() -> Response:
        return JSONResponse(state.identity())

    @app.get("/metrics")
    async def exposition() -> Response:
        return Response(metrics.text(), headers={"content-type": metrics.content_type})

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        models = state.config.models
        if len(models) == 1:
            return await predict(request, models[0])
        names = ", ".join(f"/models/{m.name}/invocations" for m in models)
        return await predict(request, bad_request(f"this service answers for {len(models)} models; use one of {names}", "path"))

    @app.post("/models/{name}/invocations")
    async def model_invocations(request: Request, name: str) -> Response:
        known = ", ".join(m.name for m in state.config.models)
        unknown = Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"no such model here; there is {known}", "path")
        return await predict(request, state.model(name) or unknown)

    async def predict(request: Request, model: Artifact | Refusal) -> Response:
        call: Call = request.scope["call"]
        call.prediction = True
        try:
            body = await _body(request)
            if isinstance(model, Refusal):
                raise model
            call.model = model
            scorer = _scorer(state, model)
            checked = _checked(request.headers.get("content-type", ""), body)
            bind(request_id=call.request_id)  # into the lines that the model's thread writes, whose context is a copy
            context = contextvars.copy_context()
            answer = await asyncio.get_running_loop().run_in_executor(pool, context.run, scorer.score, checked)
        except Refusal as e:
            return _refuse(call, e)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        return Response(answer, media_type=_JSON)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        with contextlib.suppress(ClientDisconnect):
            await _body(request)
        code = {404: "RESOURCE_DOES_NOT_EXIST", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
        answer = _refuse(request.scope["call"], Refusal(error.status_code, code, str(error.detail), "path"))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        # Starlette raises it again after this answer, and the server logs it with its traceback.
        refusal = Refusal(500, "INTERNAL_ERROR", f"the server failed ({type(error).__name__}); its log says more")
        return _refuse(request.scope["call"], refusal)

    return Envelope(app, state, metrics)


def _refuse(call: Call, refusal: Refusal) -> Response:
    call.error = refusal.error_code
    return Response(refusal.body(), refusal.status, media_type=_JSON)


def _scorer(state: ServerState, model: Artifact) -> Scorer:
    """The loaded model. Not `state.not_ready()`: what comes while the server drains is still answered."""
    if not state.scorers:
        raise Refusal(503, "TEMPORARILY_UNAVAILABLE", f"not ready: {state.reason}")
    return state.scorers[model.name]


def _checked(content_type: str, body: bytes | None) -> bytes:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")]
    if kind != _JSON or any(charset != "utf-8" for charset in charsets):
        given = repr(content_type[:80]) if content_type else "nothing"
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", f"send {_JSON} in UTF-8, not {given}", "Content-Type")
    if body is None:
        raise Refusal(413, "REQUEST_TOO_LARGE", f"the body is longer than {LARGEST_BODY >> 20} MiB: send fewer rows", "body")
    return body


async def _body(request: Request) -> bytes | None:
    """The whole body, None when it is too long.

    It is read before any refusal, and what is too long is read on without being kept: a client that is still sending
    when the connection closes sees a broken pipe and no answer.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LARGEST_BODY:
            parts.append(chunk)
        elif size > _LARGEST_DISCARDED:
            break
        else:
            parts.clear()
    return b"".join(parts) if size <= LARGEST_BODY else None
