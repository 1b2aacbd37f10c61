"""What a model call takes: counted while the answer comes, so that a call that fails is paid for too."""

from dataclasses import dataclass, field
from math import ceil
from typing import Final, Self

from services.worker.models.port import ModelChunk, ModelRequest, RetryNotice
from services.worker.models.tokens import SMALL, Vocabulary, count_text, count_tokens, vocabulary_of
from shared.errors import (
    CortexAIError,
    ModelAuthFailed,
    ModelBadResponse,
    ModelNotAvailable,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from shared.token_usage import ModelUsage, TokenUsage, estimate

REFUSALS: Final = (
    ModelRateLimited,
    ModelAuthFailed,
    ModelRejected,
    ModelNotAvailable,
    ModelUnavailable,
    ModelTimeout,
    ModelBadResponse,
)
"""Failures after which a model call of which nothing came counts as one that took no tokens."""


@dataclass(slots=True)
class UsageMeter:
    """Counts one model call: its prompt's tokens, what came, and the usage that the model reported.

    `tokens` are those that came, counted by the `vocabulary`. `ended` is what earlier tries of the same request took.
    """

    model: str
    prompt_tokens: int
    vocabulary: Vocabulary = SMALL
    chars: int = 0
    has_text: bool = False
    tokens: float = 0.0
    reported: TokenUsage | None = None
    ended: list[ModelUsage] = field(default_factory=list)

    @classmethod
    def of(cls, request: ModelRequest) -> Self:
        """The meter of a request without tools."""
        vocabulary = vocabulary_of(request.model)
        prompt_tokens = sum(count_tokens(message, vocabulary) for message in request.conversation)
        return cls(request.model, prompt_tokens, vocabulary)

    @property
    def is_empty(self) -> bool:
        """Whether nothing came, not even what the call took."""
        return not self.chars and self.reported is None

    def count(self, chunk: ModelChunk) -> None:
        """Count what a chunk adds, whether it is shown or not."""
        self.reported = chunk.usage or self.reported
        self.has_text = self.has_text or bool(chunk.text)
        for text in (chunk.text, chunk.reasoning):
            if text:
                self.chars += len(text)
                self.tokens += count_text(text, self.vocabulary)

    def begin_next_try(self, notice: RetryNotice) -> None:
        """Keep what the try that gave no answer took, unless it took nothing, and count the next one from its beginning."""
        if notice.took_tokens or not self.is_empty:
            self.ended.append(self.usage())
        self.model, self.vocabulary = notice.model, vocabulary_of(notice.model)
        self.chars, self.has_text, self.tokens, self.reported = 0, False, 0.0, None

    def usage(self) -> ModelUsage:
        """What the call took: what the model reported, else an estimate."""
        if self.reported is not None:
            return ModelUsage(self.model, self.reported, is_estimate=False)
        return ModelUsage(self.model, estimate(self.prompt_tokens, ceil(self.tokens)), is_estimate=True)

    def is_free_after(self, failure: CortexAIError) -> bool:
        """Whether the call took no tokens: the model refused it before it said anything."""
        return isinstance(failure, REFUSALS) and self.is_empty
