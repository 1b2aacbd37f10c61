"""The transport below ChatGroq: a chat completion is asked for over HTTP, and its chunks come as plain dicts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from services.worker.models.groq.body import Body
from services.worker.models.groq.reader import AnswerReader, Chunk
from services.worker.models.groq.refusals import failure_of_response
from shared.errors import ModelRejected
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

MAX_REFUSAL_BYTES: Final = 64 * 1024
UNSENDABLE: Final = "The request has something that can't be sent to the language model. Send other words."
REFUSAL_WITHIN: Final = 2.0
"""Seconds to wait for the body of a refusal."""
OPENS_IN_REASONING: Final = ("deepseek-r1", "qwq", "-thinking", "r1-1776")
"""In the names of models whose prompts end with `<think>`, so that only the closing word comes with the answer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for, in seconds.

    `end`: after the finish reason, for the usage and the end of the body; some bodies stay open, or send pings. `word`: for
    a word, while the endpoint sends signs of life only; longer where it may be silent for longer.
    """

    end: float = 5.0
    word: float = 60.0


PATIENCE: Final = Patience()


class Completions:
    """Stands in for the SDK's completions, which ChatGroq calls. Chunks are plain dicts, which ChatGroq takes as well.

    The SDK checks and rebuilds each request, and builds objects for each chunk. ADR 5 has the measurements. What
    endpoints send is read by `AnswerReader`: ChatGroq gets chunks of one shape only.
    """

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: str, *, patience: Patience = PATIENCE) -> None:
        self._http = http
        self._patience = patience
        self._url = f"{base_url.rstrip('/')}/openai/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._opens_in_reasoning: dict[str, bool] = {}
        self._lone_closes: dict[str, int] = {}

    async def create(self, *, call: AsyncExitStack, is_whole: bool = False, **parameters: Any) -> AsyncIterator[Chunk]:  # noqa: ANN401
        """Ask for a completion, and return its chunks. The connection stays open until `call` is left.

        `is_whole`: nobody reads the answer while it comes, so that it may come at its end.

        Raises:
            ModelError: the endpoint refused, or the request can't be written as JSON.
            aiohttp.ClientError: the endpoint can't be reached.

        """
        try:
            body = orjson.dumps({name: value for name, value in parameters.items() if value is not None})
        except TypeError as error:  # an integer of more than 64 bits, half a surrogate pair: no try would mend that
            raise ModelRejected(UNSENDABLE) from error
        request = self._http.post(self._url, data=body, headers=self._headers, allow_redirects=False)
        response = await call.enter_async_context(request)
        if response.status != HTTPStatus.OK:
            refusal = await _refusal(response)
            raise failure_of_response(response.status, response.headers, refusal)
        return self._chunks(response.content.iter_any(), parameters, is_whole=is_whole)

    async def _chunks(
        self, body: AsyncIterator[bytes], parameters: dict[str, Any], *, is_whole: bool
    ) -> AsyncIterator[Chunk]:
        model: str = parameters["model"]
        reader = AnswerReader(
            [tool["function"]["name"] for tool in parameters.get("tools") or ()],
            _text_to_continue(parameters["messages"]),
            is_reasoning=self._expects_reasoning(model, parameters),
            is_whole=is_whole,
        )
        read = Body(reader)
        try:
            async for chunk in read_body(body, read, self._patience):
                yield chunk
        finally:
            self._learn(model, hash(str(parameters["messages"][-1:])), reader)
            if read.unreadable:
                log.warning("model_events_skipped", model=model, events=read.unreadable)

    def _learn(self, model: str, question: int, reader: AnswerReader) -> None:
        """Remember whether a model's answers begin with reasoning that no word opens.

        One answer with a closing word alone may speak of the word. So two in a row, to different questions, are believed.
        """
        if reader.has_lone_close:
            if self._lone_closes.setdefault(model, question) != question:
                self._opens_in_reasoning[model] = True
            return
        if reader.has_ended:
            self._lone_closes.pop(model, None)
        if reader.was_assumed_wrongly:
            self._opens_in_reasoning[model] = False

    def _expects_reasoning(self, model: str, parameters: dict[str, Any]) -> bool:
        """Whether the answer may begin with reasoning that no word opens: by its name, or as it did before."""
        messages = parameters["messages"]
        if messages and messages[-1].get("role") == "assistant":
            return False
        by_name = not parameters.get("reasoning_format") and any(name in model.lower() for name in OPENS_IN_REASONING)
        return self._opens_in_reasoning.get(model, by_name)


async def read_body(pieces: AsyncIterator[bytes], body: Body, patience: Patience = PATIENCE) -> AsyncIterator[Chunk]:
    """The chunks of a body, as its pieces come.

    Raises:
        ModelError: the answer is an error, or was cut short.
        TimeoutError: the endpoint gave signs of life only.
        aiohttp.ClientError: the connection broke before the answer was over.

    """
    silent_since: float | None = None
    async for piece in pieces:
        before, has_said = body.progress, False
        for chunk in body.read(piece):
            has_said = True
            yield chunk
        if body.is_over or body.has_ended:
            break
        silent_since = None if has_said or body.progress > before else _check_silence(silent_since, patience.word)
    clock = asyncio.get_running_loop()
    deadline = clock.time() + patience.end
    while body.has_ended and not body.is_over and (piece := await _next(pieces, deadline)):
        before = body.progress
        for chunk in body.read(piece):
            yield chunk
        if body.progress > before:  # some endpoints send the finish reason too early
            deadline = clock.time() + patience.end
    for chunk in body.end():
        yield chunk


def _check_silence(since: float | None, patience: float) -> float:
    """Since when nothing is said, in seconds of the loop's clock.

    Raises:
        TimeoutError: that is too long ago. The endpoint gives signs of life only.

    """
    now = asyncio.get_running_loop().time()
    if since is not None and now - since > patience:
        raise TimeoutError
    return now if since is None else since


async def _next(pieces: AsyncIterator[bytes], deadline: float) -> bytes:
    """The next piece after the finish reason; empty at the end. Whatever befalls the connection then is an end.

    `deadline` is a time of the loop's clock. Pieces that come at once would pass a timeout, so the time is looked at too.
    """
    if asyncio.get_running_loop().time() >= deadline:
        return b""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(pieces, b"")
    except (aiohttp.ClientError, TimeoutError):
        return b""


async def _refusal(response: aiohttp.ClientResponse) -> bytes:
    """A refusal's body, up to MAX_REFUSAL_BYTES, or as much of the body as came in time."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(REFUSAL_WITHIN):
            # A read returns what has come so far, which may be one packet of several.
            while piece := await response.content.read(MAX_REFUSAL_BYTES - len(body)):
                body += piece
    return body


def _text_to_continue(messages: list[dict[str, Any]]) -> str:
    last = messages[-1] if messages else {}
    content = last.get("content")
    return (
        content if last.get("role") == "assistant" and not last.get("tool_calls") and isinstance(content, str) else ""
    )
