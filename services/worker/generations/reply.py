"""A reply while it is written: what readers have, what the model calls took, and how the reply ends."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.worker.generations.log_writer import LogWriter
from services.worker.generations.seam import Seam
from services.worker.models.port import ModelChunk
from services.worker.models.usage_meter import UsageMeter
from services.worker.quota import Quota
from shared.errors import CortexAIError, ModelError
from shared.generations.finish import FinishedReply
from shared.generations.outcome import Outcome
from shared.protocol import frames
from shared.protocol.citations import without_source
from shared.protocol.frames import Frame
from shared.protocol.transcript import Transcript
from shared.token_usage import ModelUsage, TokenUsage

NEW_PARAGRAPH: Final = "\n\n"


@dataclass(slots=True)
class Reply:
    """One attempt's reply. `transcript` is what readers have rendered, also of earlier attempts.

    `meter` counts the model call that runs now, `usage` sums up the calls that have ended, also those
    before a wait for a decision. `first_token_at`
    is in seconds of the monotonic clock.
    """

    log_writer: LogWriter
    transcript: Transcript
    quota: Quota
    reasoning_chars: int = 0
    finish_reason: frames.FinishReason = "stop"
    usage: TokenUsage | None = None
    meter: UsageMeter | None = None
    first_token_at: float | None = None
    failure: CortexAIError | None = None

    def write(self, frame: Frame, *, flush_now: bool = False) -> None:
        """Write a frame that readers render.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        self.log_writer.write(frame, flush_now=flush_now)
        self.transcript.take(frame)

    def write_all(self, written: Sequence[Frame]) -> None:
        """Write several frames."""
        for frame in written:
            self.write(frame)

    def show_status(self, status: frames.StatusData) -> None:
        """Show readers what is being done."""
        self.log_writer.write(frames.status(status))

    def begin_step(self) -> None:
        """Begin a step, unless a step is open in which no tool was called yet."""
        if self.transcript.step_called:
            self.write_all([*self.transcript.ending(), frames.finish_step()])
        if not self.transcript.step_open:
            self.write(frames.start_step())

    def begin_calls(self) -> None:
        """End the open text, and open a step if none is open."""
        self.write_all(self.transcript.ending())
        if not self.transcript.step_open:
            self.write(frames.start_step())

    def prepare_to_continue(self) -> str:
        """The text of the open step that an earlier attempt or an earlier model call wrote; empty where there is none.

        A step that has reasoning only is left as it is, and another step begins.
        """
        if self.transcript.step_called:
            return ""
        if not self.transcript.step_text and not self.transcript.step_is_plain:
            self._restart_step()
        return self.transcript.step_text

    def _restart_step(self) -> None:
        """Leave what is shown as it is, tell readers that the model did not go on with it, and begin a new step."""
        self.write_all(self.transcript.ending())
        if self.transcript.step_open:
            self.write(frames.finish_step())
        self.log_writer.write(frames.retry(self.log_writer.attempt))
        self.write(frames.start_step())

    def add(self, chunk: ModelChunk, seam: Seam | None = None) -> None:
        """Write what a chunk adds, and count it. `seam` joins the text to a text that is there already.

        Raises:
            AppendRefused: the log is not this attempt's any more.
            QuotaExceeded: the user's tokens for today are used up.

        """
        if self.meter is not None:
            self.meter.count(chunk)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        if not chunk.text and not chunk.reasoning:
            return
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        if chunk.reasoning:
            self._write_reasoning(chunk.reasoning)
        if chunk.text:
            self._write_behind(seam, chunk.text if seam is None else seam.add(chunk.text))
        self.check_quota()

    def end_seam(self, seam: Seam | None, *, calls_tools: bool = False) -> None:
        """Write the text that still waits in the seam."""
        if seam is not None:
            self._write_behind(seam, seam.end(is_whole=self.finish_reason == "stop" and not calls_tools))

    def _write_behind(self, seam: Seam | None, text: str) -> None:
        """Write text. The first text that does not go on from what is there begins a new paragraph."""
        if not text:
            return
        if seam is not None and seam.take_new_paragraph():
            self._restart_step()
        self.write_text(text)

    def _write_reasoning(self, reasoning: str) -> None:
        if self.transcript.text_open is not None:
            self.write(frames.text_end(self.transcript.text_open))
        if self.transcript.reasoning_open is None:
            self.write(frames.reasoning_start(f"r{self.transcript.reasonings}"))
        is_first = not self.reasoning_chars
        self.reasoning_chars += len(reasoning)
        self.write(frames.reasoning_delta(str(self.transcript.reasoning_open), reasoning), flush_now=is_first)

    def write_text(self, text: str) -> None:
        """Write text. The first text of a reply goes out at once."""
        if self.transcript.reasoning_open is not None:
            self.write(frames.reasoning_end(self.transcript.reasoning_open))
        if self.transcript.text_open is None:
            self.write(frames.text_start(str(self.transcript.texts)))
        is_first = not self.transcript.length
        text = _missing_gap(self.transcript, text) + text
        self.write(frames.text_delta(str(self.transcript.text_open), text), flush_now=is_first)

    def check_citations(self) -> None:
        """Tell readers which numbers the finished text cites without a source: the text is shown and can't change."""
        numbers = without_source(self.transcript.text, len(self.transcript.sources))
        told = self.transcript.citations["data"]["withoutSource"] if self.transcript.citations else []
        if numbers != told:
            self.write_all([*self.transcript.ending(), frames.citations(numbers)])

    def check_quota(self) -> None:
        """Stop the reply when the user's tokens for today are used up (quota.py).

        Raises:
            QuotaExceeded: they are.

        """
        # Without a model call, the next one has to be able to spend at least one token.
        self.quota.check(self.meter.prompt_tokens + int(self.meter.tokens) if self.meter else 1)

    def fail(self, failure: CortexAIError) -> None:
        """End with a failure."""
        self.failure = failure
        self.forget_refused_call(failure)

    def forget_refused_call(self, failure: CortexAIError) -> None:
        """Don't count the model call that runs now if the model refused it before it said anything."""
        if self.meter is not None and self.meter.is_free_after(failure):
            self.meter = None

    def end_failed_call(self, failure: ModelError) -> ModelUsage | None:
        """End the model call that failed. Returns what the call took; None when it took nothing, or is not known."""
        self.forget_refused_call(failure)
        return self.end_call()

    def end_empty_call(self, *, took_tokens: bool) -> ModelUsage | None:
        """End a model call without text, before the next try. Its reasoning stays as it is.

        Returns what the call took; None when nothing came and it took no tokens.
        """
        if self.transcript.reasoning_open is not None:
            self.write(frames.reasoning_end(self.transcript.reasoning_open))
        if self.meter is not None and self.meter.is_empty and not took_tokens:
            self.meter = None
        return self.end_call()

    def end_call(self) -> ModelUsage | None:
        """End the model call that runs now. Returns what the call took; None when no call runs."""
        if self.meter is None:
            return None
        ended, self.meter = self.meter.usage(), None
        self.usage = ended.usage if self.usage is None else self.usage + ended.usage
        self.quota.take(ended.usage.total_tokens)
        return ended

    def outcome(self) -> Outcome:
        """How the generation ends. Ask once all model calls have ended."""
        if self.failure is not None:
            return Outcome.failed(self.failure, self.usage)
        return Outcome.completed(self.finish_reason, self.usage)

    def finished(self) -> FinishedReply:
        """The reply as it is saved."""
        return FinishedReply(self.transcript.text, self.transcript.parts(), self.transcript.sources or None)


def _missing_gap(transcript: Transcript, text: str) -> str:
    """The line ends that are missing between the text of earlier steps and `text`, so that a blank line is between them.

    Empty where `text` is not the first of its step, or nothing was said before.
    """
    if not transcript.length or not transcript.step_is_silent:
        return ""
    before = transcript.text
    said = before.rstrip()
    gap = before[len(said) :] + text[: len(text) - len(text.lstrip())]
    return "\n" * (len(NEW_PARAGRAPH) - gap.count("\n")) if said else ""
