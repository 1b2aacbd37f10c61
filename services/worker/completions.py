"""The transport below ChatGroq: a chat completion is asked for over HTTP, and its chunks come as plain dicts."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from shared import errors

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""A model that sends more than this without ending an event is not one."""


class Completions:
    """What ChatGroq asks: the SDK's completions, with a stream's chunks as plain dicts, which it takes as well.

    The SDK checks and rebuilds each request, and builds an object for each chunk and its parts: half of a token's whole
    cost, and two thirds of a request's (docs/adr/0005-model-client.md).
    """

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/openai/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def create(self, *, call: AsyncExitStack, **parameters: Any) -> AsyncIterator[dict[str, Any]]:  # noqa: ANN401
        """Ask. The connection stays open until `call` is left.

        Raises:
            ModelError: refused.
            aiohttp.ClientError: unreachable.

        """
        body = orjson.dumps({name: value for name, value in parameters.items() if value is not None})
        request = self._http.post(self._url, data=body, headers=self._headers, allow_redirects=False)
        response = await call.enter_async_context(request)
        if response.status != HTTPStatus.OK:
            raise _refusal(response)
        return _chunks(response.content.iter_any())


def _refusal(response: aiohttp.ClientResponse) -> errors.ModelError:
    """Why the model does not answer. What it says about that may quote the request, so it goes nowhere."""
    match response.status:
        case 429:
            return errors.ModelRateLimited(retry_after=_retry_after(response))
        case 401 | 403:
            return errors.ModelAuthFailed()
        case 408 | 498 | 500 | 502 | 503 | 504:
            return errors.ModelUnavailable()
        case _:
            return errors.ModelRejected()


async def _chunks(body: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each event.

    Raises:
        ValueError: an event is no JSON, is an error, or has no end.

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
                raise ValueError("the model reported an error")
            yield chunk


def _json(text: bytes) -> dict[str, Any]:
    try:
        chunk: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        chunk = json.loads(text)  # slower, but it takes the lone surrogates that JSON allows
    if not isinstance(chunk, dict):
        raise TypeError("a chunk is no object")
    return chunk


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
