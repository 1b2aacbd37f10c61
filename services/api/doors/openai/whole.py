"""An answer that is not streamed: it is waited for, for a bounded time, and given as one object."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from services.api.doors.openai.chunks import Envelope
from services.api.doors.openai.following import AGAIN, QUIET, Resume, frames_of
from services.api.doors.openai.progress import Call, Failed, Finished, Progress, Reasoning, Text
from services.api.stream_slots import StreamSlot
from services.api.streaming.follow import StreamCut
from services.api.streaming.resume import Live, Saved
from shared.background import end
from shared.errors import CompletionTimedOut, StreamsUnavailable, Unauthenticated

T = TypeVar("T")


async def wait_for(
    request: Request, stream: Saved | Live, envelope: Envelope, resume: Resume, within: float
) -> dict[str, Any] | Failed | None:
    """The answer as a chat completion, or why there is none. None when the client has left. `within` is in seconds.

    Raises:
        CompletionTimedOut, StreamsUnavailable, Unauthenticated: as `wait_while_asked`.

    """
    return await wait_while_asked(request, _collect(stream, envelope, resume), within)


async def wait_while_asked(request: Request, work: Coroutine[Any, Any, T], within: float) -> T | None:
    """What this work gives. None when the client has left before. `within` is in seconds.

    Raises:
        CompletionTimedOut: the work is not done yet.
        StreamsUnavailable: the answer can't be read any more.
        Unauthenticated: the request's credential has ended meanwhile.

    """
    cut = asyncio.Event()
    slot: StreamSlot | None = request.scope["state"].get("stream_slot")
    if slot is not None:
        slot.cut = cut.set
    waiting = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request.receive))
    cutting = asyncio.create_task(cut.wait())
    try:
        await asyncio.wait({waiting, leaving, cutting}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        if leaving.done():
            return None
        if cutting.done():
            raise Unauthenticated
        raise CompletionTimedOut
    except StreamCut as why:
        raise StreamsUnavailable from why
    finally:
        await end(waiting, leaving, cutting)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _collect(stream: Saved | Live, envelope: Envelope, resume: Resume) -> dict[str, Any] | Failed:
    progress = Progress()
    texts, reasonings, calls = list[bytes](), list[bytes](), list[dict[str, Any]]()
    async with aclosing(frames_of(stream, resume)) as frames:
        async for frame in frames:
            if frame is QUIET:
                continue
            if frame == AGAIN:
                progress.begin_again()
                continue
            match progress.take(frame):
                case Text(text):
                    texts.append(text)
                case Reasoning(text):
                    reasonings.append(text)
                case Call(_, call_id, name, arguments):
                    function = {"name": name, "arguments": arguments}
                    calls.append({"id": call_id, "type": "function", "function": function})
                case Finished(reason, usage):
                    message = _message(_joined(texts), _joined(reasonings), calls)
                    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
                    return {**envelope.members("chat.completion"), "choices": [choice], "usage": usage}
                case Failed() as failure:
                    return failure
                case None:
                    pass
    raise StreamCut("log_without_end")


def _joined(pieces: list[bytes]) -> str:
    """The text whose JSON came in these pieces."""
    return str(json.loads(b'"%b"' % b"".join(pieces)))


def _message(text: str, reasoning: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message
