"""From ChatGroq's chunks to those of the port. Their shape is that of `reader.py`."""

import json
from typing import Any

from langchain_core.outputs import ChatGenerationChunk

from services.worker.models.port import ModelChunk, ToolCall
from shared.protocol.encoding import clean
from shared.token_usage import TokenUsage


def read_chunk(chunk: ChatGenerationChunk) -> ModelChunk:
    """What a chunk adds."""
    message, info = chunk.message, chunk.generation_info
    text, more = clean(str(message.content)), message.additional_kwargs
    if not more and not info:
        return ModelChunk(text)
    usage = getattr(message, "usage_metadata", None)
    return ModelChunk(
        text,
        reasoning=clean(more.get("reasoning_content", "")),
        finish_reason=info.get("finish_reason") if info else None,
        usage=TokenUsage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) if usage else None,
        calls=tuple(_call(call) for call in more.get("tool_calls", ())),
    )


def _call(call: dict[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call["id"], function["name"], json.loads(function["arguments"] or "null"))
