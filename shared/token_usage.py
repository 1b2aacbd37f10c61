"""Tokens that model calls took: one form inside, and the form in which rows keep it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens of one model call, or of several calls together.

    `is_estimate`: this service counted them, since the model did not say; or it did so for one of the calls.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    is_estimate: bool = False

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.is_estimate or other.is_estimate,
        )

    def to_row(self) -> dict[str, int]:
        """The JSON that a row keeps. `is_estimate` is there only where it is true."""
        counts = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }
        return {**counts, "is_estimate": True} if self.is_estimate else counts

    @classmethod
    def from_row(cls, kept: Mapping[str, int] | None) -> Self | None:
        """The usage that a row keeps; None where the row keeps none. Rows of older releases have the stream's spelling."""
        if kept is None:
            return None
        if "promptTokens" in kept:
            return cls(kept["promptTokens"], kept["completionTokens"], kept["totalTokens"])
        counts = kept["prompt_tokens"], kept["completion_tokens"], kept["total_tokens"]
        return cls(*counts, is_estimate=bool(kept.get("is_estimate")))


class ModelUsage(NamedTuple):
    """What one model call took. `is_estimate`: the model did not say, or the call was cut off."""

    model: str
    usage: TokenUsage
    is_estimate: bool


def estimate(prompt_tokens: int, completion_tokens: int) -> TokenUsage:
    """The usage of a call whose model did not say what the call took."""
    return TokenUsage(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, is_estimate=True)
