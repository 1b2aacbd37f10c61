"""The transport below ChatGroq: a chat completion is asked for over HTTP, and its chunks come as plain dicts."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from shared import errors

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""An endpoint that sends more than this without ending an event is no model."""
MAX_REFUSAL_BYTES: Final = 64 * 1024
REFUSAL_WITHIN: Final = 2.0
"""Seconds to wait for the body of a refusal."""
CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""The form of an error code. A text of another form may be a sentence, and a sentence may quote the request."""
GONE_CODES: Final = frozenset({"model_not_found", "model_decommissioned", "model_not_active", "model_terms_required"})
"""Groq's error codes for models that do not exist any more, or not yet (console.groq.com/docs/errors)."""


class Completions:
    """Stands in for the SDK's completions, which ChatGroq calls. Chunks are plain dicts, which ChatGroq takes as well.

    The SDK checks and rebuilds each request, and builds objects for each chunk. That is half of what a token costs, and
    two thirds of what a request costs (docs/adr/0005-model-client.md).
    """

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/openai/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def create(self, *, call: AsyncExitStack, **parameters: Any) -> AsyncIterator[dict[str, Any]]:  # noqa: ANN401
        """Ask for a completion, and return its chunks. The connection stays open until `call` is left.

        Raises:
            ModelError: the endpoint refused.
            aiohttp.ClientError: the endpoint can't be reached.

        """
        body = orjson.dumps({name: value for name, value in parameters.items() if value is not None})
        request = self._http.post(self._url, data=body, headers=self._headers, allow_redirects=False)
        response = await call.enter_async_context(request)
        if response.status != HTTPStatus.OK:
            raise await _refusal(response)
        return _chunks(response.content.iter_any())


async def _refusal(response: aiohttp.ClientResponse) -> errors.ModelError:
    """Why the endpoint refused. Its message may quote the request, so only its error code is kept."""
    code = await _error_code(response)
    failure = _kind_of(response, code)
    failure.endpoint_status, failure.endpoint_code = response.status, code
    return failure


def _kind_of(response: aiohttp.ClientResponse, code: str | None) -> errors.ModelError:
    match response.status:
        case 400 | 403 | 404 if code in GONE_CODES:
            return errors.ModelNotAvailable()
        case 404:  # other endpoints have other codes, or none
            return errors.ModelNotAvailable()
        case 429:
            return errors.ModelRateLimited(retry_after=_retry_after(response))
        case 401 | 403:
            return errors.ModelAuthFailed()
        case 408 | 498 | 500 | 502 | 503 | 504:
            return errors.ModelUnavailable()
        case _:
            return errors.ModelRejected()


async def _error_code(response: aiohttp.ClientResponse) -> str | None:
    """The error code in a refusal's body; None when the body has none, or does not come in time."""
    try:
        async with asyncio.timeout(REFUSAL_WITHIN):
            body = await response.content.read(MAX_REFUSAL_BYTES)
            return code_of(orjson.loads(body).get("error"))
    except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
        return None


def code_of(error: object) -> str | None:
    """The code of an endpoint's error object; None when it has none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and CODE.fullmatch(code) else None


async def _chunks(body: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each event.

    Raises:
        ValueError: an event is no JSON, or has no end.
        ModelBadResponse: an event is an error.

    """
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_EVENT_BYTES:
            raise ValueError("an event has no end")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == b"[DONE]":
                return
            chunk = _json(text)
            if chunk.get("error"):
                failure = errors.ModelBadResponse()
                failure.endpoint_status, failure.endpoint_code = HTTPStatus.OK.value, code_of(chunk["error"])
                raise failure
            yield chunk


def _json(text: bytes) -> dict[str, Any]:
    try:
        chunk: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        chunk = json.loads(text)  # slower, but reads the lone surrogates that JSON allows
    if not isinstance(chunk, dict):
        raise TypeError("a chunk is no object")
    return chunk


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
