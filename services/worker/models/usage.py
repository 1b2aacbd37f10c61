"""The one place where the worker's TokenUsage becomes the JSON that tables and frames hold."""

from services.worker.models.port import TokenUsage


def to_json(usage: TokenUsage) -> dict[str, int]:
    """The usage as `messageMetadata.usage` has it (docs/protocol.md)."""
    return {
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }
