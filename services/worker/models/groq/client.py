"""The language model: ChatGroq, made once per process. The only module that knows LangChain."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableBinding
from langchain_groq import ChatGroq
from pydantic import SecretStr

from services.worker import prompts
from services.worker.models.groq.transport import Completions
from shared import errors
from shared.protocol.encoding import clean
from shared.protocol.frames import FinishReason
from shared.settings import Settings
from shared.telemetry.logs import get_logger
from shared.token_usage import TokenUsage

log = get_logger(__name__)

GROQ_URL: Final = "https://api.groq.com"
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
MAX_ARGUMENTS_CHARS: Final = 20_000
MAX_ARGUMENTS_DEPTH: Final = 20
_MISSHAPEN: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What langchain-groq, and our reading of what it leaves to us, raise over chunks that are not what they should be."""
CHARS_PER_TOKEN: Final = 4
"""As langchain-core's counter has it, for where only lengths are known."""
THINKS_ALOUD: Final = ("qwen/qwen3", "deepseek-r1")
"""Models that put their reasoning into the text unless they are told to keep it apart."""
GPT_OSS: Final = "openai/gpt-oss"
"""Models that can't go on from a half-said answer, and think as hard as they are told."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model asks for. `arguments` is None when what it sent is no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """One message of a conversation as the model is told it. Its role is system, user, assistant or tool.

    `calls` are what the assistant asked of its tools, `call_id` names the one that a tool's message answers.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelChunk:
    """What one chunk adds. `usage` counts tokens; it, the finish reason and the calls come with the last chunk."""

    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: TokenUsage | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """The model did not answer: after `wait` seconds, `model` is asked."""

    model: str
    wait: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `usage` is None when the model did not tell."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: TokenUsage | None


def tokens(said: ModelMessage) -> int:
    """Roughly how many tokens a message takes (langchain-core's counter)."""
    return count_tokens_approximately([_message(said)])


class Model:
    """Streams answers. Safe for any number of concurrent streams on one event loop.

    `name` is the model that answers unless another of those that are offered is asked for. `connect_timeout` is in seconds.
    """

    def __init__(self, settings: Settings, *, connect_timeout: float = CONNECT_TIMEOUT) -> None:
        if settings.groq_api_key is None:
            raise errors.SettingsInvalid("GROQ_API_KEY: is not set")
        self.name = settings.groq_model
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout, sock_read=settings.model_read_timeout_seconds
            ),
            trust_env=True,
        )
        self._fallback = settings.groq_fallback_model
        self._prefill = settings.model_prefill
        names = {settings.groq_model, *settings.groq_models, *([self._fallback] if self._fallback else [])}
        # All at once, since making one takes 50 ms.
        self._chats = {name: self._make(settings, settings.groq_api_key, name) for name in sorted(names)}
        bound = cast("RunnableBinding[Any, Any]", self._chats[self.name].bind_tools([prompts.WEB_SEARCH]))
        self._tools = dict(bound.kwargs)

    def _make(self, settings: Settings, key: SecretStr, name: str) -> ChatGroq:
        completions = Completions(self._http, settings.groq_base_url or GROQ_URL, key.get_secret_value())
        return ChatGroq(
            model_name=name,
            api_key=key,
            temperature=settings.model_temperature,
            max_tokens=settings.model_max_tokens,
            reasoning_format="parsed" if name.startswith(THINKS_ALOUD) else None,
            async_client=completions,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.close()

    def can_continue(self, model: str | None) -> bool:
        """Whether an answer can be continued from its first half, by this model and by the one that may have to stand in."""
        names = (model if model in self._chats else self.name, self._fallback or self.name)
        return self._prefill and not any(str(name).startswith(GPT_OSS) for name in names)

    async def stream(
        self,
        conversation: Sequence[ModelMessage],
        *,
        model: str | None = None,
        tools: bool = False,
        max_tokens: int | None = None,
        is_brief: bool = False,
    ) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """The answer, chunk by chunk. A last message of the assistant's is continued. Closing it hangs up.

        What fails before the first chunk, and may go better soon, is tried again, three times in all, and then with the
        fallback model; a model that is gone is replaced by the fallback model at once. With `tools` the model may ask for a
        web search. With `is_brief` it thinks as little as it can. A model that is not offered is the default one.

        Raises:
            ModelError: one of its kinds.

        """
        messages = [_message(said) for said in conversation]
        options: dict[str, Any] = {
            **(self._tools if tools else {}),
            **({"max_tokens": max_tokens} if max_tokens else {}),
        }
        name = model if model in self._chats else self.name
        begun = False
        try:
            async for said in self._tries(name, messages, options, is_brief=is_brief):
                begun = begun or isinstance(said, ModelChunk)
                yield said
        except errors.ModelError as failure:
            is_gone = isinstance(failure, errors.ModelGone)
            if begun or self._fallback in {None, name} or not (is_gone or _is_passing(failure)):
                raise
            log.warning("model_fallback", fallback=self._fallback, **failure.log_fields)
        else:
            return
        yield RetryNotice(str(self._fallback), 0)
        async for said in self._tries(str(self._fallback), messages, options, is_brief=is_brief):
            yield said

    async def answer(
        self, conversation: Sequence[ModelMessage], *, model: str | None = None, max_tokens: int
    ) -> Answer:
        """The whole answer at once, for what nobody reads as it is written.

        Raises:
            ModelError: one of its kinds.

        """
        name, parts = model if model in self._chats else self.name, list[str]()
        reason: FinishReason = "stop"
        usage = None
        async for said in self.stream(conversation, model=model, max_tokens=max_tokens, is_brief=True):
            if isinstance(said, RetryNotice):
                name = said.model
                continue
            parts.append(said.text)
            reason, usage = said.finish_reason or reason, said.usage or usage
        return Answer("".join(parts), str(name), reason, usage)

    async def _tries(
        self, name: str, messages: list[BaseMessage], options: dict[str, Any], *, is_brief: bool
    ) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        if is_brief and name.startswith(GPT_OSS):
            options = {**options, "reasoning_effort": "low"}
        waited = 0.0
        for delay in (*RETRY_DELAYS, None):
            begun = ended = False
            calls = _ToolCallPieces()
            try:
                async with AsyncExitStack() as call:
                    # astream would merge all chunks at the end, which blocks the loop for milliseconds.
                    async for chunk in self._chats[name]._astream(messages, call=call, **options):  # noqa: SLF001
                        begun = True
                        calls.add(chunk.message.additional_kwargs.get("tool_calls"))
                        delta = _delta(chunk)
                        ended = ended or delta.finish_reason is not None
                        yield delta
                made = calls.made()
            except (errors.ModelError, aiohttp.ClientError, TimeoutError, *_MISSHAPEN) as error:
                failure = _failure(error, begun=begun)
                failure.model = name
                wait = failure.retry_after if isinstance(failure, errors.ModelRateLimited) else None
                wait = delay if wait is None else wait
                if begun or delay is None or wait is None or waited + wait > MAX_RETRY_WAIT or not _is_passing(failure):
                    raise failure from (None if failure is error else error)
                log.warning("model_retry", wait=wait, **failure.log_fields)
            else:
                if not ended:
                    # A body that was cut short but ended cleanly, as a proxy may do: nothing else tells.
                    failure = errors.ModelBadResponse()
                    failure.model = name
                    raise failure
                if made:
                    yield ModelChunk(calls=made)
                return
            waited += wait
            yield RetryNotice(name, wait)
            await asyncio.sleep(wait)


class _ToolCallPieces:
    """Puts tool calls together from their pieces."""

    def __init__(self) -> None:
        self._by_index: dict[int, dict[str, str]] = {}
        self._length = 0

    def add(self, pieces: Any) -> None:  # noqa: ANN401 - what the model sent
        """Take one chunk's pieces.

        Raises:
            ValueError: the arguments have no end.

        """
        for piece in pieces or ():
            call = self._by_index.setdefault(int(piece.get("index") or 0), {"id": "", "name": "", "arguments": ""})
            call["id"] = piece.get("id") or call["id"]
            function = piece.get("function") or {}
            for name in ("name", "arguments"):
                call[name] += function.get(name) or ""
            self._length += len(function.get("arguments") or "")
            if self._length > MAX_ARGUMENTS_CHARS:
                raise ValueError("a tool call has no end")

    def made(self) -> tuple[ToolCall, ...]:
        """The calls, in the model's order."""
        return tuple(
            ToolCall(clean(call["id"]) or f"call_{index}", clean(call["name"]), _arguments(call["arguments"]))
            for index, call in sorted(self._by_index.items())
        )


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments, if they are an object that PostgreSQL and every reader of JSON can take."""
    try:
        arguments = _cleaned(json.loads(text or "{}"), MAX_ARGUMENTS_DEPTH)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _cleaned(value: Any, depth: int) -> Any:  # noqa: ANN401 - any JSON
    """JSON without what it can't hold, though Python's reader takes it: NUL, half a surrogate pair, NaN, infinity.

    Raises:
        ValueError: a number is no number, or it is nested too deeply.

    """
    if depth < 0:
        raise ValueError("nested too deeply")
    match value:
        case str():
            return clean(value)
        case float() if not math.isfinite(value):
            raise ValueError("no number")
        case dict():
            return {clean(name): _cleaned(item, depth - 1) for name, item in value.items()}
        case list():
            return [_cleaned(item, depth - 1) for item in value]
        case _:
            return value


def _message(said: ModelMessage) -> BaseMessage:
    if said.role == "tool":
        return ToolMessage(content=said.content, tool_call_id=said.call_id)
    if said.calls:
        calls = [{"name": call.name, "args": call.arguments or {}, "id": call.id} for call in said.calls]
        return AIMessage(content=said.content, tool_calls=calls)
    return _MESSAGES[said.role](content=said.content)


def _delta(chunk: ChatGenerationChunk) -> ModelChunk:
    message = chunk.message
    usage = getattr(message, "usage_metadata", None)
    reason = (chunk.generation_info or {}).get("finish_reason")
    return ModelChunk(
        text=clean(message.content) if isinstance(message.content, str) else "",
        reasoning=clean(message.additional_kwargs.get("reasoning_content") or ""),
        finish_reason=FINISH_REASONS.get(reason, "other") if reason else None,
        usage=_usage(usage) if usage else None,
    )


def _usage(usage: Any) -> TokenUsage:  # noqa: ANN401 - LangChain's TypedDict
    return TokenUsage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])


def _is_passing(failure: errors.ModelError) -> bool:
    return isinstance(failure, errors.ModelRateLimited | errors.ModelUnavailable)


def _failure(error: Exception, *, begun: bool) -> errors.ModelError:
    """Which of our errors this is. `begun` says that chunks had come before it."""
    match error:
        case errors.ModelError():
            return error
        case aiohttp.ConnectionTimeoutError() if not begun:
            return errors.ModelUnavailable()
        case TimeoutError():
            return errors.ModelTimeout()
        case aiohttp.ClientConnectionError() if not begun:
            return errors.ModelUnavailable()
        case _:
            # A connection cut in mid-answer, a chunk that is no JSON or has not what a chunk has, an error in the stream.
            return errors.ModelBadResponse()
