"""The language model: ChatGroq, made once per process. The only module that knows LangChain and Groq."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_groq import ChatGroq
from pydantic import SecretStr

from shared import errors
from shared.frames import FinishReason, clean
from shared.settings import Settings
from shared.telemetry import get_logger

log = get_logger(__name__)

GROQ_URL: Final = "https://api.groq.com"
CONNECT_TIMEOUT: Final = 5.0
RETRY_DELAYS: Final = (0.25, 1.0)
"""Seconds before each further try, where the model does not name its own."""
MAX_RETRY_WAIT: Final = 20.0
"""Seconds that all tries together may wait."""

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""A model that sends more than this without ending an event is not one."""

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
_MESSAGES: Final[dict[str, type[BaseMessage]]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation as the model is told it. Its role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What one chunk adds. `usage` counts tokens; it and the finish reason come with the last chunk."""

    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: dict[str, int] | None = None


class Model:
    """Streams answers. Safe for any number of concurrent streams on one event loop."""

    def __init__(self, settings: Settings) -> None:
        if settings.groq_api_key is None:
            raise errors.SettingsInvalid("GROQ_API_KEY: is not set")
        self.name = settings.groq_model
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT, sock_read=settings.model_read_timeout_seconds
            ),
            trust_env=True,
        )
        key = settings.groq_api_key.get_secret_value()
        self._chat = ChatGroq(
            model_name=settings.groq_model,
            api_key=SecretStr(key),
            temperature=settings.model_temperature,
            max_tokens=settings.model_max_tokens,
            async_client=_Completions(self._http, settings.groq_base_url or GROQ_URL, key),
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.close()

    async def stream(self, conversation: Sequence[Said]) -> AsyncGenerator[Delta, None]:
        """The answer, chunk by chunk. A last message of the assistant's is continued. Closing it hangs up.

        What fails before the first chunk, and may go better soon, is tried again, three times in all.

        Raises:
            ModelError: one of its kinds.

        """
        messages = [_MESSAGES[said.role](content=said.content) for said in conversation]
        waited = 0.0
        for delay in (*RETRY_DELAYS, None):
            begun = ended = False
            try:
                async with AsyncExitStack() as call:
                    # astream would merge all chunks at the end, which blocks the loop for milliseconds.
                    async for chunk in self._chat._astream(messages, call=call):  # noqa: SLF001
                        begun = True
                        delta = _delta(chunk)
                        ended = ended or delta.finish_reason is not None
                        yield delta
            except (errors.ModelError, aiohttp.ClientError, TimeoutError, ValueError, TypeError, KeyError) as error:
                failure = _failure(error, begun=begun)
                wait = failure.retry_after if isinstance(failure, errors.ModelRateLimited) else None
                wait = delay if wait is None else wait
                if begun or delay is None or wait is None or waited + wait > MAX_RETRY_WAIT or not _is_passing(failure):
                    raise failure from error
                log.warning("model_retry", error=failure.code, wait=wait)
            else:
                if not ended:
                    # A body that was cut short but ended cleanly, as a proxy may do: nothing else tells.
                    raise errors.ModelBadResponse
                return
            waited += wait
            await asyncio.sleep(wait)


class _Completions:
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


def _delta(chunk: ChatGenerationChunk) -> Delta:
    message = chunk.message
    usage = getattr(message, "usage_metadata", None)
    reason = (chunk.generation_info or {}).get("finish_reason")
    return Delta(
        text=clean(message.content) if isinstance(message.content, str) else "",
        reasoning=clean(message.additional_kwargs.get("reasoning_content") or ""),
        finish_reason=FINISH_REASONS.get(reason, "other") if reason else None,
        usage=_usage(usage) if usage else None,
    )


def _usage(usage: Any) -> dict[str, int]:  # noqa: ANN401 - LangChain's TypedDict
    return {
        "promptTokens": usage["input_tokens"],
        "completionTokens": usage["output_tokens"],
        "totalTokens": usage["total_tokens"],
    }


def _is_passing(failure: errors.ModelError) -> bool:
    return isinstance(failure, errors.ModelRateLimited | errors.ModelUnavailable)


def _failure(error: Exception, *, begun: bool) -> errors.ModelError:
    """Which of our errors this is. `begun` says that chunks had come before it."""
    match error:
        case errors.ModelError():
            return error
        case TimeoutError():
            return errors.ModelTimeout()
        case aiohttp.ClientConnectionError() if not begun:
            return errors.ModelUnavailable()
        case _:
            # A connection cut in mid-answer, a chunk that is no JSON or has not what a chunk has, an error in the stream.
            return errors.ModelBadResponse()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
