"""What a client of this door has got of an answer, so that a log that is read again brings it the rest alone. Pure.

Deltas are told apart by their first bytes, and their texts are passed on as the JSON that the log has: an answer has thousands.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from shared.protocol.encoding import decode

TEXT: Final = b'data: {"type":"text-delta"'
REASONING: Final = b'data: {"type":"reasoning-delta"'
_DELTA: Final = b',"delta":"'
_END: Final = b'"}\n\n'


class Text(NamedTuple):
    """More text, as the inside of a JSON string."""

    json: bytes


class Reasoning(NamedTuple):
    """More reasoning, likewise."""

    json: bytes


class Call(NamedTuple):
    """A call of a tool of the client's, and its number from 0. `arguments` is JSON."""

    number: int
    id: str
    name: str
    arguments: str


class Finished(NamedTuple):
    """The answer is complete. `reason` is OpenAI's word, `usage` counts tokens; None where nobody did."""

    reason: str
    usage: dict[str, int] | None


class Failed(NamedTuple):
    """The answer failed, or was stopped."""

    code: str
    message: str


News = Text | Reasoning | Call | Finished | Failed

REASONS: Final = {"stop": "stop", "length": "length", "content-filter": "content_filter", "tool-calls": "tool_calls"}
"""OpenAI's words for the ends of answers. Of any other end it says `stop`."""
CANCELLED: Final = Failed("cancelled", "The answer was stopped.")


@dataclass(slots=True)
class Progress:
    """Reads the frames of a log, once or again and again from the beginning."""

    _sent: dict[bytes, int] = field(default_factory=lambda: {TEXT: 0, REASONING: 0})
    _seen: dict[bytes, int] = field(default_factory=lambda: {TEXT: 0, REASONING: 0})
    _calls_sent: int = 0
    _calls_seen: int = 0
    _failure: Failed | None = None

    def begin_again(self) -> None:
        """From here on, the log comes from its beginning."""
        self._seen = dict.fromkeys(self._seen, 0)
        self._calls_seen = 0

    def take(self, frame: bytes) -> News | None:
        """What a frame has that the client has not; None where that is nothing."""
        if frame.startswith(TEXT):
            rest = self._rest(TEXT, frame)
            return Text(rest) if rest else None
        if frame.startswith(REASONING):
            rest = self._rest(REASONING, frame)
            return Reasoning(rest) if rest else None
        return self._take_other(decode(frame))

    def _rest(self, kind: bytes, frame: bytes) -> bytes:
        """What the client lacks of a delta. A text has one JSON, however it is cut into deltas."""
        text = frame[frame.index(_DELTA) + len(_DELTA) : -len(_END)]
        lacking = self._sent[kind] - self._seen[kind]
        self._seen[kind] += len(text)
        if lacking > 0:
            text = text[lacking:]
        self._sent[kind] = max(self._sent[kind], self._seen[kind])
        return text

    def _take_other(self, frame: Any) -> News | None:  # noqa: ANN401 - any frame
        match frame:
            case {"type": "tool-input-available", "providerExecuted": False}:
                number, self._calls_seen = self._calls_seen, self._calls_seen + 1
                if number < self._calls_sent:
                    return None
                self._calls_sent = self._calls_seen
                arguments = json.dumps(frame["input"], ensure_ascii=False)
                return Call(number, frame["toolCallId"], frame["toolName"], arguments)
            case {"type": "finish"}:
                reason = REASONS.get(frame["finishReason"], "stop")
                return Finished(reason, _usage(frame.get("messageMetadata", {}).get("usage")))
            case {"type": "data-error", "data": {"code": code, "message": message}}:
                self._failure = Failed(code, message)
            case {"type": "error"}:
                return self._failure or Failed("internal_error", frame["errorText"])
            case {"type": "abort"}:
                return CANCELLED
            case _:
                pass
        return None


def _usage(counted: dict[str, int] | None) -> dict[str, int] | None:
    if counted is None:
        return None
    return {
        "prompt_tokens": counted["promptTokens"],
        "completion_tokens": counted["completionTokens"],
        "total_tokens": counted["totalTokens"],
    }
