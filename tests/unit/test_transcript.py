"""The transcript of a log: what it says was rendered is what a reader renders."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.catch_up import catch_up_parts, parts_to_frames
from shared.protocol.encoding import encode
from shared.protocol.frames import Frame
from shared.protocol.message_parts import ended_parts
from shared.protocol.transcript import Transcript, read

START = frames.start(MessageId(2), GenerationId(UUID(int=1)), user_message_id=MessageId(1), chat_id=ChatId(1))


@dataclass
class Log:
    """A legal log, with what it says counted apart from the transcript."""

    parts: list[Frame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    step_open: bool = False
    text_open: str | None = None
    texts: int = 0

    @property
    def frames(self) -> list[bytes]:
        """As they are logged."""
        return [encode(part) for part in self.parts]

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
            self.parts.append(frames.status({"status": text}))


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
        transcript.take(part)
    assert transcript == read(log.frames)


def test_a_log_that_is_not_there_says_nothing() -> None:
    assert read([]) == Transcript()
    assert (read([]).text, read([]).parts()) == ("", None)


def test_an_attempt_that_goes_on_finds_the_text_part_open() -> None:
    parts: list[Frame] = [
        START,
        frames.start_step(),
        frames.text_start("0"),
        frames.text_delta("0", "Once upon"),
        START,
    ]
    transcript = read(encode(part) for part in parts)
    assert (transcript.text, transcript.step_text, transcript.length) == ("Once upon", "Once upon", 9)
    assert (transcript.step_open, transcript.text_open, transcript.texts) == (True, "0", 1)
    assert transcript.step_is_plain


TOOL: list[Frame] = [
    frames.start_step(),
    frames.text_start("0"),
    frames.text_delta("0", "Let me look. "),
    frames.text_end("0"),
    frames.tool_input("c1", "web_search", {"query": "cortex"}),
    frames.tool_output("c1", {"results": []}),
    frames.source_url("c1-1", "https://example.com", "Example"),
    frames.finish_step(),
    frames.start_step(),
    frames.reasoning_start("r0"),
    frames.reasoning_delta("r0", "Hm"),
    frames.reasoning_end("r0"),
    frames.text_start("1"),
    frames.text_delta("1", "It is "),
    frames.text_delta("1", "so."),
    frames.text_end("1"),
]


def test_a_message_has_its_parts_as_the_ai_sdk_keeps_them() -> None:
    transcript = read(encode(part) for part in [START, *TOOL])
    assert transcript.parts() == [
        {"type": "step-start"},
        {"type": "text", "text": "Let me look. "},
        {
            "type": "dynamic-tool",
            "toolName": "web_search",
            "toolCallId": "c1",
            "state": "output-available",
            "input": {"query": "cortex"},
            "output": {"results": []},
        },
        {"type": "source-url", "sourceId": "c1-1", "url": "https://example.com", "title": "Example"},
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm"},
        {"type": "text", "text": "It is so."},
    ]
    assert transcript.text == "Let me look. It is so."
    assert transcript.step_text == "It is so."
    assert not transcript.step_is_plain


def test_a_log_that_is_told_from_its_messages_parts_renders_the_same() -> None:
    transcript = read(encode(part) for part in [START, *TOOL])
    again = read(encode(part) for part in [START, *parts_to_frames(transcript.parts() or [])])
    assert again.parts() == transcript.parts()
    assert (again.text, again.sources) == (transcript.text, transcript.sources)


WAITING: list[Frame] = [
    START,
    frames.start_step(),
    frames.reasoning_start("r0"),
    frames.reasoning_delta("r0", "Hm, "),
    frames.reasoning_delta("r0", "well."),
    frames.reasoning_end("r0"),
    *TOOL[1:],
    frames.finish_step(),
    frames.start_step(),
    frames.tool_input("call_a", "ask_person", {"what": "a"}),
    frames.tool_input("call_b", "ask_person", {"what": "b"}),
    frames.approval("a", "call_a", "proposed"),
    frames.approval("a", "call_a", "refused"),
    frames.tool_error("call_a", "Refused."),
    frames.citations([7]),
    frames.approval("b", "call_b", "proposed"),
]


@pytest.mark.parametrize("cut", range(len(WAITING) + 1))
def test_wherever_a_log_lost_its_end_the_saved_parts_make_it_whole(cut: int) -> None:
    whole = read(encode(part) for part in WAITING)
    parts = whole.parts() or []
    kept = WAITING[:cut]
    added = catch_up_parts(read(encode(part) for part in kept), parts)
    again = read(encode(part) for part in [*kept, START, *added])
    assert again.parts() == parts
    assert (again.text, again.sources) == (whole.text, whole.sources)
    assert (again.text_open, again.reasoning_open) == (None, None)


def test_a_log_that_went_on_lacks_nothing_of_what_was_saved_before() -> None:
    parts = read(encode(part) for part in WAITING).parts() or []
    went_on: list[Frame] = [
        *WAITING,
        START,
        frames.approval("b", "call_b", "committed"),
        frames.tool_output("call_b", {}),
    ]
    assert catch_up_parts(read(encode(part) for part in went_on), parts) == []


def test_a_log_that_went_another_way_is_left_as_it_is() -> None:
    parts = read(encode(part) for part in WAITING).parts() or []
    other: list[Frame] = [START, frames.start_step(), frames.text_start("0"), frames.text_delta("0", "No.")]
    assert catch_up_parts(read(encode(part) for part in other), parts) == []


def test_a_later_word_on_the_citations_takes_the_place_of_an_earlier_one() -> None:
    parts = [*TOOL, frames.citations([7]), frames.citations([7, 9])]
    transcript = read(encode(part) for part in parts)
    kept = [part for part in transcript.parts() or [] if part["type"] == "data-citations"]
    assert kept == [{"type": "data-citations", "id": "citations", "data": {"withoutSource": [7, 9]}}]
    again = read(encode(part) for part in parts_to_frames(transcript.parts() or []))
    assert again.parts() == transcript.parts()


def test_text_alone_needs_no_parts() -> None:
    assert read(encode(part) for part in TOOL[:4]).parts() is None


@pytest.mark.parametrize("cut", range(1, len(TOOL)))
def test_wherever_a_log_breaks_off_what_is_open_can_be_ended(cut: int) -> None:
    transcript = read(encode(part) for part in TOOL[:cut])
    for part in transcript.closing():
        transcript.take(part)
    assert (transcript.text_open, transcript.reasoning_open) == (None, None)
    assert transcript.closing() == []
    parts = transcript.parts() or []
    assert {part["state"] for part in parts if part["type"] == "dynamic-tool"} <= {"output-available", "output-error"}
    assert ended_parts(parts) == parts
