"""The language model: ChatGroq, made once per process. The only module that knows LangChain and Groq."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import groq
import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_groq import ChatGroq
from pydantic import SecretStr

from shared import errors
from shared.frames import FinishReason, clean
from shared.settings import Settings
from shared.telemetry import get_logger

log = get_logger(__name__)

CONNECT_TIMEOUT: Final = 5.0
RETRY_DELAYS: Final = (0.25, 1.0)
"""Seconds before each further try, where the model does not name its own."""
MAX_RETRY_WAIT: Final = 20.0
"""Seconds that all tries together may wait."""

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
    """One message of a conversation as the model is told it."""

    role: Literal["system", "user", "assistant"]
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
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.worker_concurrency)
        )
        self._chat = ChatGroq(
            model_name=settings.groq_model,
            api_key=SecretStr(settings.groq_api_key.get_secret_value()),
            base_url=settings.groq_base_url,
            temperature=settings.model_temperature,
            max_tokens=settings.model_max_tokens,
            timeout=httpx.Timeout(settings.model_read_timeout_seconds, connect=CONNECT_TIMEOUT),
            max_retries=0,  # the SDK would wait up to a minute a retry, in silence
            http_async_client=self._client,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def stream(self, conversation: Sequence[Said]) -> AsyncIterator[Delta]:
        """The answer, chunk by chunk. A last message of the assistant's is continued.

        What fails before the first chunk, and may go better soon, is tried again, three times in all.

        Raises:
            ModelError: one of its kinds.

        """
        messages = [_MESSAGES[said.role](content=said.content) for said in conversation]
        waited = 0.0
        for delay in (*RETRY_DELAYS, None):
            begun = False
            try:
                # astream would merge all chunks at the end, which blocks the loop for milliseconds, and run its callbacks.
                async for chunk in self._chat._astream(messages):  # noqa: SLF001
                    begun = True
                    yield _delta(chunk)
            except (groq.GroqError, httpx.HTTPError, json.JSONDecodeError, ValueError, TypeError, KeyError) as error:
                failure = _failure(error)
                wait = getattr(failure, "retry_after", None) or delay
                if begun or wait is None or delay is None or waited + wait > MAX_RETRY_WAIT or not _is_passing(failure):
                    raise failure from error
                log.warning("model_retry", error=failure.code, wait=wait)
            else:
                return
            waited += wait
            await asyncio.sleep(wait)


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


def _failure(error: Exception) -> errors.ModelError:
    """Which of our errors one of the SDK's is. Their texts may quote the request, so they go nowhere."""
    match error:
        case groq.RateLimitError():
            return errors.ModelRateLimited(retry_after=_retry_after(error.response))
        case groq.AuthenticationError() | groq.PermissionDeniedError():
            return errors.ModelAuthFailed()
        case groq.APITimeoutError() | httpx.TimeoutException():
            return errors.ModelTimeout()
        case groq.InternalServerError() | groq.APIConnectionError() | httpx.ConnectError():
            return errors.ModelUnavailable()
        case groq.APIStatusError():
            return errors.ModelRejected()
        case _:
            # A connection cut in mid-answer, a chunk that is no JSON or has not what a chunk has, an error in the stream.
            return errors.ModelBadResponse()


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
