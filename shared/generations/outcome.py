"""How a generation ended: one value, made by whoever ends the generation, and used wherever the end is saved or shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, cast

from shared.errors import CortexAIError
from shared.protocol import frames
from shared.protocol.frames import ErrorData, FinishReason, Frame
from shared.states import GenerationStatus
from shared.token_usage import TokenUsage

BROKEN_OFF: Final = "[This answer was broken off here.]"
"""What models are told behind an answer that failed or was stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ended. `status` is terminal.

    Only a completed generation has a `finish_reason`, and only a failed one an error. `usage` are the tokens of all model calls;
    None when there was none, or when that is not known.
    """

    status: GenerationStatus
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: TokenUsage | None = None

    @classmethod
    def completed(cls, reason: FinishReason, usage: TokenUsage | None = None) -> Self:
        """The answer is complete."""
        return cls(GenerationStatus.COMPLETED, finish_reason=reason, usage=usage)

    @classmethod
    def failed(cls, error: CortexAIError, usage: TokenUsage | None = None) -> Self:
        """The answer failed; what was written of it stays."""
        return cls(GenerationStatus.FAILED, error_code=error.code, error_message=error.message, usage=usage)

    @classmethod
    def cancelled(cls) -> Self:
        """A request ended the generation."""
        return cls(GenerationStatus.CANCELLED)

    @classmethod
    def from_row(
        cls,
        status: str,
        finish_reason: str | None,
        error_code: str | None,
        error_message: str | None,
        usage: Mapping[str, int] | None,
    ) -> Self:
        """The outcome that a generation's row keeps in the columns of these names."""
        reason = cast("FinishReason | None", finish_reason)
        return cls(GenerationStatus(status), reason, error_code, error_message, TokenUsage.from_row(usage))

    @property
    def error(self) -> ErrorData | None:
        """Why the generation failed; None when it did not. Rows of the first release may lack the reason."""
        if self.status is not GenerationStatus.FAILED:
            return None
        return {"code": self.error_code or CortexAIError.code, "message": self.error_message or "The answer failed."}

    def frames(self) -> list[Frame]:
        """The frames that end the log, the terminal one last. The parts that are open are ended before."""
        if self.error is not None:
            return frames.failed(self.error)
        match self.status:
            case GenerationStatus.CANCELLED:
                return frames.aborted("cancelled")
            case _:
                return [frames.finish_step(), frames.finish(self.finish_reason or "stop", self.usage)]
