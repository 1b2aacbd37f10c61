"""The door's stream: an answer as OpenAI's chat completion chunks. Source: OpenAI's API reference, chat completion chunks."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any, NamedTuple

from services.api.doors.openai.error_form import member
from services.api.doors.openai.following import AGAIN, QUIET, Resume, frames_of
from services.api.doors.openai.progress import Call, Failed, Finished, News, Progress, Reasoning, Text
from services.api.doors.openai.statuses import status_of_code
from services.api.streaming.resume import Live, Saved
from shared.ids import GenerationId
from shared.protocol import encoding
from shared.protocol.json_lines import json_line
from shared.protocol.sizes import MAX_DELTA_CHARS


class Envelope(NamedTuple):
    """What all chunks of an answer have in common, and the whole answer too."""

    generation_id: GenerationId
    created_at: datetime
    model: str

    @property
    def id(self) -> str:
        """The completion's id."""
        return f"chatcmpl-{self.generation_id.hex}"

    def members(self, kind: str) -> dict[str, Any]:
        """The first members of an object of this kind."""
        return {"id": self.id, "object": kind, "created": int(self.created_at.timestamp()), "model": self.model}


class Chunks:
    """Writes the chunks of one answer. With `tells_usage`, each chunk has a `usage`, and one behind the last has the counts."""

    def __init__(self, envelope: Envelope, *, tells_usage: bool) -> None:
        self._members = envelope.members("chat.completion.chunk")
        self._usage = {"usage": None} if tells_usage else {}
        # A text is JSON already, and goes between these.
        self._around_text = self._around("content")
        self._around_reasoning = self._around("reasoning_content")

    def opening(self) -> bytes:
        """The first chunk, which names the role."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def of(self, news: News) -> bytes:
        """The chunks that tell a piece of news."""
        match news:
            case Text(text):
                return self.text(text)
            case Reasoning(text):
                return self.reasoning(text)
            case Call() as call:
                return self.call(call)
            case Finished() as finished:
                return self.end(finished)
            case Failed() as failure:
                return failed(failure)

    def text(self, text: bytes) -> bytes:
        """More text, the inside of a JSON string."""
        before, behind = self._around_text
        return before + text + behind

    def reasoning(self, text: bytes) -> bytes:
        """More reasoning, likewise. OpenAI has no such member; the clients that show reasoning read this one."""
        before, behind = self._around_reasoning
        return before + text + behind

    def call(self, call: Call) -> bytes:
        """A tool call: its name, then its arguments in pieces."""
        function = {"name": call.name, "arguments": ""}
        chunks = [self._call(call.number, {"id": call.id, "type": "function", "function": function})]
        for at in range(0, len(call.arguments), MAX_DELTA_CHARS):
            piece = call.arguments[at : at + MAX_DELTA_CHARS]
            chunks.append(self._call(call.number, {"function": {"arguments": piece}}))
        return b"".join(chunks)

    def end(self, finished: Finished) -> bytes:
        """The last chunks, and the end of the stream."""
        last = self._chunk({}, finished.reason)
        if self._usage:
            last += _event({**self._members, "choices": [], "usage": finished.usage})
        return last + encoding.DONE

    def _call(self, index: int, call: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": index, **call}]})

    def _around(self, name: str) -> tuple[bytes, bytes]:
        before, _, behind = self._chunk({name: "<>"}).partition(b"<>")
        return before, behind

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**self._members, "choices": [choice], **self._usage})


def _event(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json_line(value).encode()


def failed(failure: Failed) -> bytes:
    """The event of an answer that failed after the stream has begun. OpenAI's clients raise it as an error."""
    return _event({"error": member(failure.code, failure.message, status_of_code(failure.code))})


async def encode(
    stream: Saved | Live, chunks: Chunks, resume: Resume, leave: Callable[[], None]
) -> AsyncGenerator[bytes, None]:
    """The body of a stream. `leave` is called when the client leaves before the end.

    Raises:
        StreamCut: the stream can't go on here.

    """
    progress, is_over = Progress(), False
    try:
        yield encoding.PING + chunks.opening()
        async with aclosing(frames_of(stream, resume)) as frames:
            async for frame in frames:
                if frame is QUIET:
                    yield encoding.PING
                    continue
                if frame == AGAIN:
                    progress.begin_again()
                    continue
                news = progress.take(frame)
                is_over = isinstance(news, Finished | Failed)
                if news is not None:
                    yield chunks.of(news)
    finally:
        if not is_over:
            leave()
