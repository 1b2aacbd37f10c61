"""The fold over a log: what it says was rendered is what a reader renders."""

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared import frames
from shared.ids import GenerationId, MessageId
from shared.streams.transcript import Transcript, read

START = frames.start(MessageId(1), GenerationId(UUID(int=1)))


@dataclass
class Log:
    """A legal log, with what it says counted apart from the fold."""

    parts: list[frames.Part] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    step_open: bool = False
    text_open: str | None = None
    texts: int = 0

    @property
    def frames(self) -> list[bytes]:
        """As they are logged."""
        return [frames.encode(part) for part in self.parts]

    def write(self, move: str, text: str) -> None:
        """One legal move of a writer; a new attempt goes on where the last one broke off."""
        if move == "attempt" or not self.parts:
            self.parts.append(START)
        elif move == "step" and self.text_open is None:
            self.parts.append(frames.finish_step() if self.step_open else frames.start_step())
            self.step_open = not self.step_open
        elif move == "say" and self.step_open:
            if self.text_open is None:
                self.text_open = str(self.texts)
                self.texts += 1
                self.parts.append(frames.text_start(self.text_open))
            self.parts.append(frames.text_delta(self.text_open, text))
            self.said.append(text)
        elif move == "end" and self.text_open is not None:
            self.parts.append(frames.text_end(self.text_open))
            self.text_open = None
        elif move == "think":
            self.parts += [frames.reasoning_start("r"), frames.reasoning_delta("r", text), frames.reasoning_end("r")]
        elif move == "tell":
            self.parts.append(frames.data("status", {"delta": text}))


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Logs as writers leave them, broken off anywhere."""
    log = Log()
    moves = st.tuples(st.sampled_from(["say", "say", "say", "step", "end", "attempt", "think", "tell"]), st.text())
    for move, text in draw(st.lists(moves, max_size=40)):
        log.write(move, text)
    return log


@given(logs())
def test_the_text_is_all_that_was_said_and_nothing_else(log: Log) -> None:
    assert read(log.frames).text == "".join(log.said)


@given(logs())
def test_what_is_open_at_the_end_is_known(log: Log) -> None:
    transcript = read(log.frames)
    assert (transcript.step_open, transcript.text_open, transcript.texts) == (log.step_open, log.text_open, log.texts)


@given(logs(), st.integers(0, 100))
def test_reading_a_log_in_two_parts_gives_the_same(log: Log, cut: int) -> None:
    transcript = read(log.frames[:cut])
    for part in log.parts[cut:]:
        transcript = transcript.after(part)
    assert transcript == read(log.frames)


def test_a_log_that_is_not_there_says_nothing() -> None:
    assert read([]) == Transcript(text="", step_open=False, text_open=None, texts=0)


def test_an_attempt_that_goes_on_finds_the_text_part_open() -> None:
    parts = [START, frames.start_step(), frames.text_start("0"), frames.text_delta("0", "Once upon"), START]
    transcript = read(frames.encode(part) for part in parts)
    assert transcript == Transcript(text="Once upon", step_open=True, text_open="0", texts=1)
