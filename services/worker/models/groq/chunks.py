"""From ChatGroq's chunks to those of the port. Their shape is that of `reader.py`."""

import json

from langchain_core.outputs import ChatGenerationChunk

from services.worker.models.port import ModelChunk, ToolCall
from shared.protocol.encoding import clean
from shared.token_usage import TokenUsage


def read_chunk(chunk: ChatGenerationChunk) -> ModelChunk:
    """What a chunk adds."""
    message = chunk.message
    more = message.additional_kwargs
    usage = getattr(message, "usage_metadata", None)
    info = chunk.generation_info
    return ModelChunk(
        text=clean(str(message.content)),
        reasoning=clean(more.get("reasoning_content", "")),
        finish_reason=info.get("finish_reason") if info else None,
        usage=TokenUsage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) if usage else None,
        calls=tuple(
            ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "null"))
            for call in more.get("tool_calls", ())
        ),
    )
