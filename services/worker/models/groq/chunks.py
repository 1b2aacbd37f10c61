"""Reading what Groq sends: chunks, and tool calls that come in pieces."""

import json
import math
from typing import Any, Final

from langchain_core.outputs import ChatGenerationChunk

from services.worker.models.port import ModelChunk, ToolCall
from shared.protocol.encoding import clean
from shared.protocol.frames import FinishReason
from shared.token_usage import TokenUsage

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
MAX_ARGUMENTS_CHARS: Final = 20_000
"""Of all tool calls of an answer together."""
MAX_ARGUMENTS_DEPTH: Final = 20


def read_chunk(chunk: ChatGenerationChunk) -> ModelChunk:
    """What a chunk adds, without its tool calls.

    Raises:
        LookupError, TypeError: the chunk does not have the shape of one.

    """
    message = chunk.message
    usage = getattr(message, "usage_metadata", None)
    reason = (chunk.generation_info or {}).get("finish_reason")
    return ModelChunk(
        text=clean(message.content) if isinstance(message.content, str) else "",
        reasoning=clean(message.additional_kwargs.get("reasoning_content") or ""),
        finish_reason=FINISH_REASONS.get(reason, "other") if reason else None,
        usage=TokenUsage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) if usage else None,
    )


class ToolCallPieces:
    """Puts the tool calls of one answer together from their pieces."""

    def __init__(self) -> None:
        self._by_index: dict[int, dict[str, str]] = {}
        self._length = 0

    def add(self, pieces: Any) -> None:  # noqa: ANN401 - what the model sent
        """Take the pieces of one chunk; None for no pieces.

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
    """The arguments; None when they are not an object that PostgreSQL and every reader of JSON can take."""
    try:
        arguments = _cleaned(json.loads(text or "{}"), MAX_ARGUMENTS_DEPTH)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _cleaned(value: Any, depth: int) -> Any:  # noqa: ANN401 - any JSON
    """The value without what JSON can't hold though Python reads it: NUL, half a surrogate pair.

    Raises:
        ValueError: a number is NaN or infinite, or the value is nested too deeply.

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
