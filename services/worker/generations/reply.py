"""A reply while it is written: what readers have of it, what it has taken, how it ended."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.worker.generations.log_writer import LogWriter
from services.worker.models.port import ModelChunk
from services.worker.models.tokens import CHARS_PER_TOKEN
from shared.errors import (
    CortexAIError,
    ModelAuthFailed,
    ModelGone,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    QuotaExceeded,
)
from shared.generations.finish import ModelUsage
from shared.generations.outcome import Outcome
from shared.protocol import frames
from shared.protocol.frames import Frame
from shared.protocol.transcript import Transcript
from shared.token_usage import TokenUsage, estimate

NEW_PARAGRAPH: Final = "\n\n"
REFUSALS: Final = (ModelRateLimited, ModelAuthFailed, ModelRejected, ModelGone, ModelUnavailable)


@dataclass(slots=True)
class UsageMeter:
    """A model call: the tokens that it was sent, the characters that came, and what it says that it took."""

    model: str
    prompt_tokens: int
    chars: int = 0
    usage: TokenUsage | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has come yet."""
        return not self.chars

    def taken(self) -> ModelUsage:
        """What it took: what the model says, else an estimate."""
        if self.usage is not None:
            return ModelUsage(self.model, self.usage, is_estimate=False)
        completion = -(-self.chars // CHARS_PER_TOKEN)
        return ModelUsage(self.model, estimate(self.prompt_tokens, completion), is_estimate=True)


@dataclass(slots=True)
class Reply:
    """What has been written, and by which log writer. `left` are the tokens that its user may still spend; None for no bound."""

    log_writer: LogWriter
    transcript: Transcript
    left: int | None = None
    thought: int = 0  # characters of reasoning
    reason: frames.FinishReason = "stop"
    usage: TokenUsage | None = None
    call: UsageMeter | None = None
    first_token: float | None = None  # in the monotonic clock's seconds
    failure: CortexAIError | None = None

    def put(self, frame: Frame, *, flush_now: bool = False) -> None:
        """Write a part.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        self.log_writer.write(frame, flush_now=flush_now)
        self.transcript.take(frame)

    def put_all(self, written: Sequence[Frame]) -> None:
        """Write parts."""
        for frame in written:
            self.put(frame)

    def tell(self, status: frames.StatusData) -> None:
        """Tell readers what is being done."""
        self.log_writer.write(frames.status(status))

    def begin_step(self) -> None:
        """Begin a step, unless one is open in which no tool was called yet."""
        if self.transcript.step_called:
            self.put_all([*self.transcript.ending(), frames.finish_step()])
        if not self.transcript.step_open:
            self.put(frames.start_step())

    def begin_calls(self) -> None:
        """End what is being said, and open the step if none is."""
        self.put_all(self.transcript.ending())
        if not self.transcript.step_open:
            self.put(frames.start_step())

    def begin_anew(self, attempt: int) -> None:
        """Leave what an earlier attempt wrote of the step as it is, say so, and begin a new paragraph."""
        text = self.transcript.step_text
        self.put_all(self.transcript.ending())
        if self.transcript.step_open:
            self.put(frames.finish_step())
        self.log_writer.write(frames.retry(attempt))
        self.put(frames.start_step())
        if text:
            self.say(NEW_PARAGRAPH)

    def take(self, delta: ModelChunk) -> None:
        """Write one chunk of the model's."""
        if self.call is not None:
            self.call.usage = delta.usage or self.call.usage
            self.call.chars += len(delta.text) + len(delta.reasoning)
        self.reason = delta.finish_reason or self.reason
        if not delta.text and not delta.reasoning:
            return
        if self.first_token is None:
            self.first_token = time.monotonic()
        if delta.reasoning:
            self._think(delta.reasoning)
        if delta.text:
            self.say(delta.text)
        self._check_quota()

    def _think(self, reasoning: str) -> None:
        if self.transcript.text_open is not None:
            self.put(frames.text_end(self.transcript.text_open))
        if self.transcript.reasoning_open is None:
            self.put(frames.reasoning_start(f"r{self.transcript.reasonings}"))
        first = not self.thought
        self.thought += len(reasoning)
        self.put(frames.reasoning_delta(str(self.transcript.reasoning_open), reasoning), flush_now=first)

    def say(self, text: str) -> None:
        """Write text."""
        if self.transcript.reasoning_open is not None:
            self.put(frames.reasoning_end(self.transcript.reasoning_open))
        if self.transcript.text_open is None:
            self.put(frames.text_start(str(self.transcript.texts)))
        first = not self.transcript.length
        self.put(frames.text_delta(str(self.transcript.text_open), text), flush_now=first)

    def _check_quota(self) -> None:
        if self.left is not None and self.call is not None:
            spent = self.call.prompt_tokens + self.call.chars // CHARS_PER_TOKEN
            if spent > self.left:
                raise QuotaExceeded

    def fail(self, failure: CortexAIError) -> None:
        """End with a failure. A call that was refused took nothing, so it is none."""
        self.failure = failure
        if isinstance(failure, REFUSALS) and self.call is not None and self.call.is_fresh and self.call.usage is None:
            self.call = None

    def end_call(self) -> ModelUsage | None:
        """What the model call took that is under way, added to the whole; None when there is none."""
        if self.call is None:
            return None
        taken, self.call = self.call.taken(), None
        self.usage = taken.usage if self.usage is None else self.usage + taken.usage
        if self.left is not None:
            self.left -= taken.usage.total_tokens
        return taken

    def outcome(self) -> Outcome:
        """How the generation ends. Ask once all model calls have ended."""
        if self.failure is not None:
            return Outcome.failed(self.failure, self.usage)
        return Outcome.completed(self.reason, self.usage)
