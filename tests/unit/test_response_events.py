"""The events of a response are a pure function of its content: however frames are cut, live, late and from the row."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.doors.openai.responses.events import FOR_REASONING, Event, ResponseEvents, events_of, output_of
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.catch_up import catch_up_parts, parts_to_frames
from shared.protocol.encoding import decode, encode, encode_all
from shared.protocol.frames import Frame
from shared.protocol.message_parts import ended_parts, plain_parts
from shared.protocol.transcript import Transcript, read
from shared.states import GenerationStatus

REPLY = 42
START = frames.start(MessageId(REPLY), GenerationId(UUID(int=1)), user_message_id=MessageId(41), chat_id=ChatId(1))
OPERATION = "01980000-0000-7000-8000-0000000000{:02}"
OUTCOMES = (
    Outcome.completed("stop"),
    Outcome.completed("length"),
    Outcome.completed("content-filter"),
    Outcome.cancelled(),
    Outcome(GenerationStatus.FAILED, error_code="model_timeout", error_message="Too slow."),
)


class _Log:
    """A log as a worker writes it. `cut` cuts texts into deltas, wherever it likes."""

    def __init__(self, cut: Callable[[str], list[str]]) -> None:
        self.cut = cut
        self.written: list[Frame] = [START]
        self.transcript = Transcript()
        self.calls = 0

    def write(self, *added: Frame) -> None:
        for frame in added:
            self.written.append(decode(encode(frame)))  # so that nobody shares an object
            self.transcript.take(self.written[-1])

    def end_parts(self) -> None:
        self.write(*self.transcript.ending())

    def begin_step(self) -> None:
        self.end_parts()
        if self.transcript.step_open:
            self.write(frames.finish_step())
        self.write(frames.start_step())

    def say(self, text: str) -> None:
        if self.transcript.reasoning_open is not None:
            self.end_parts()
        for piece in self.cut(text):
            if self.transcript.text_open is None:
                self.write(frames.text_start(str(self.transcript.texts)))
            self.write(frames.text_delta(str(self.transcript.text_open), piece))

    def think(self, text: str) -> None:
        if self.transcript.text_open is not None:
            self.end_parts()
        for piece in self.cut(text):
            if self.transcript.reasoning_open is None:
                self.write(frames.reasoning_start(f"r{self.transcript.reasonings}"))
            self.write(frames.reasoning_delta(str(self.transcript.reasoning_open), piece))

    def call(self, kinds: list[str]) -> None:
        """Tool calls of one step, which ends with them."""
        self.end_parts()
        called = [(f"call_{self.calls + number}", kind) for number, kind in enumerate(kinds, 1)]
        self.calls += len(kinds)
        for call_id, kind in called:
            name = "web_search" if kind in {"found", "not found"} else "db_query"
            self.write(frames.tool_input(call_id, name, {"query": f"what {call_id}"}))
        # What proposes something comes behind the others, and waits.
        waiting = [call_id for call_id, kind in called if kind in {"approved", "refused"}]
        for call_id, kind in called:
            if call_id not in waiting:
                self._settle(call_id, kind)
        for call_id in waiting:
            self.write(frames.approval(OPERATION.format(call_id[5:].zfill(2)), call_id, "proposed"))
        if waiting:
            self.attempt()
        for call_id, kind in called:
            if call_id in waiting:
                status: frames.ApprovalStatus = "committed" if kind == "approved" else "refused"
                self.write(frames.approval(OPERATION.format(call_id[5:].zfill(2)), call_id, status))
                self._settle(call_id, kind)
        self.begin_step()

    def _settle(self, call_id: str, kind: str) -> None:
        if kind in {"not found", "refused"}:
            self.write(frames.tool_error(call_id, "No."))
            return
        self.write(frames.tool_output(call_id, {"results": [call_id]}))
        if kind == "found":
            self.write(*(frames.source_url(f"{call_id}-{n}", f"https://e.org/{call_id}/{n}", "A page") for n in (1, 2)))

    def attempt(self) -> None:
        """Another worker goes on."""
        self.written.append(START)
        self.end_parts()

    def end(self, outcome: Outcome) -> list[Frame]:
        self.write(*self.transcript.closing(), *outcome.frames())
        return self.written


Story = tuple[list[tuple[str, object]], Outcome]

TEXTS = st.text(min_size=1, max_size=60)
KINDS = st.lists(st.sampled_from(["found", "not found", "asked", "approved", "refused"]), min_size=1, max_size=3)
MOVES = st.one_of(
    st.tuples(st.just("say"), TEXTS),
    st.tuples(st.just("say"), st.sampled_from(["It rains [1][2].", " And [3, 4]", "[5", "] `[1]`"])),
    st.tuples(st.just("say"), st.integers(1, 1200).map(lambda length: "ab cd\n" * (length // 6 + 1))),
    st.tuples(st.just("think"), TEXTS),
    st.tuples(st.just("call"), KINDS),
    st.tuples(st.just("step"), st.none()),
    st.tuples(st.just("attempt"), st.none()),
    st.tuples(st.just("status"), st.none()),
    st.tuples(st.just("break"), st.none()),
)
STORIES = st.tuples(st.lists(MOVES, max_size=12), st.sampled_from(OUTCOMES))
CUTS = st.lists(st.integers(1, 40), max_size=30)


def _cutter(lengths: list[int]) -> Callable[[str], list[str]]:
    ahead = list(lengths)

    def cut(text: str) -> list[str]:
        pieces = []
        while text:
            length = ahead.pop() if ahead else len(text)
            pieces.append(text[:length])
            text = text[length:]
        return pieces

    return cut


def _log(story: Story, lengths: list[int]) -> list[Frame]:
    moves, outcome = story
    log = _Log(_cutter(lengths))
    log.begin_step()
    for move, what in moves:
        match move:
            case "say":
                log.say(str(what))
            case "think":
                log.think(str(what))
            case "call":
                assert isinstance(what, list)
                log.call(what)
            case "step":
                log.begin_step()
            case "attempt":
                log.attempt()
            case "status":
                log.written.append(frames.status({"status": "generating"}))
            case _:
                log.end_parts()
    return log.end(outcome)


def _from_row(written: list[Frame], outcome: Outcome) -> list[Frame]:
    """The frames of the log that is made again from the row (services/api/streaming/rebuild.py)."""
    transcript = read(map(encode, written))
    parts = ended_parts(transcript.parts() or plain_parts(transcript.text))
    return [decode(one) for one in encode_all([START, *parts_to_frames(parts), *outcome.frames()])]


def _events(written: Iterable[Frame]) -> list[Event]:
    return events_of(REPLY, written)[0]


def _without_reasoning(written: list[Frame]) -> list[Frame]:
    return [frame for frame in written if not frame["type"].startswith("reasoning")]


@given(STORIES, CUTS, CUTS)
def test_events_are_the_same_however_the_frames_are_cut(story: Story, one: list[int], other: list[int]) -> None:
    assert _events(_log(story, one)) == _events(_log(story, other))


@given(STORIES, CUTS)
def test_events_of_the_row_are_those_of_the_log(story: Story, lengths: list[int]) -> None:
    written = _log(story, lengths)
    live, saved = events_of(REPLY, written), events_of(REPLY, _from_row(written, story[1]))
    assert saved[0] == live[0]
    assert saved[1].output == live[1].output
    assert (saved[1].end, saved[1].end_number) == (live[1].end, live[1].end_number)


@given(STORIES, CUTS, st.integers(0, 200))
def test_a_log_that_lost_its_end_and_was_caught_up_has_the_same_events(
    story: Story, lengths: list[int], kept: int
) -> None:
    written = _log(story, lengths)
    whole = read(map(encode, written))
    parts = ended_parts(whole.parts() or plain_parts(whole.text))
    left = [frame for frame in written[:kept] if frame["type"] not in {"finish", "error", "abort"}]
    transcript = read(map(encode, left))
    caught_up = [*left, START, *catch_up_parts(transcript, parts), *story[1].frames()]
    if read(map(encode, caught_up)).rendered() == whole.rendered():
        assert _events(caught_up) == _events(written)


@given(STORIES, CUTS)
def test_items_that_are_made_without_deltas_are_the_same(story: Story, lengths: list[int]) -> None:
    written = _log(story, lengths)
    assert output_of(REPLY, written) == events_of(REPLY, written)[1].output


@given(STORIES, CUTS)
def test_numbers_rise(story: Story, lengths: list[int]) -> None:
    events, maker = events_of(REPLY, _log(story, lengths))
    numbers = [*(event.number for event in events), maker.end_number]
    assert all(before < after for before, after in pairwise(numbers))
    assert not numbers[:1] or numbers[0] > 1  # behind `response.in_progress`


@given(STORIES, CUTS)
def test_the_items_that_are_done_say_what_the_deltas_said(story: Story, lengths: list[int]) -> None:
    events, maker = events_of(REPLY, _log(story, lengths))
    said = "".join(event.delta for event in events)
    texts = [item["content"][0]["text"] for item in maker.output if item["type"] == "message"]
    assert said == "".join(texts) == "".join(str(what) for move, what in story[0] if move == "say")
    assert not any(item.get("status") == "in_progress" for item in maker.output)  # none is left open
    added = [event.body["output_index"] for event in events if event.type == "response.output_item.added"]
    assert added == list(range(len(maker.output)))


@given(STORIES, CUTS, CUTS, st.integers(0, 3000))
def test_whoever_resumes_behind_any_number_gets_each_character_once(
    story: Story, one: list[int], other: list[int], number: int
) -> None:
    first, again = _events(_log(story, one)), _events(_log(story, other))
    rest = [event for event in (each.after(number) for each in again) if event is not None]
    assert all(event.number > number for event in rest)
    # What a client has that knows no piece behind the number.
    had = "".join(event.delta[: max(0, number - (event.number - len(event.delta)))] for event in first)
    assert had + "".join(event.delta for event in rest) == "".join(event.delta for event in again)


@given(STORIES, CUTS, CUTS, st.data())
def test_a_client_that_filters_a_whole_replay_by_number_loses_and_doubles_nothing(
    story: Story, one: list[int], other: list[int], data: st.DataObject
) -> None:
    first, again = _events(_log(story, one)), _events(_log(story, other))
    had = first[: data.draw(st.integers(0, len(first)))]
    last = had[-1].number if had else 1
    assert had + [event for event in again if event.number > last] == again


@given(STORIES, CUTS, st.integers(0, 300))
def test_events_of_a_beginning_are_the_beginning_of_the_events(story: Story, lengths: list[int], kept: int) -> None:
    written = _log(story, lengths)
    begun = _events(written[:kept])
    assert _events(written)[: len(begun)] == begun


@given(STORIES, CUTS)
def test_reasoning_that_was_lost_moves_no_number(story: Story, lengths: list[int]) -> None:
    written = _log(story, lengths)
    with_it, without = events_of(REPLY, written), events_of(REPLY, _without_reasoning(written))
    numbered = {event.number: (event.type, event.delta) for event in with_it[0]}
    assert all(numbered[event.number] == (event.type, event.delta) for event in without[0])
    assert with_it[1].end_number == without[1].end_number
    ids = [item["id"] for item in with_it[1].output if item["type"] != "reasoning"]
    assert ids == [item["id"] for item in without[1].output]


@given(STORIES, CUTS)
def test_reasoning_is_told_whole(story: Story, lengths: list[int]) -> None:
    _, maker = events_of(REPLY, _log(story, lengths))
    told = [item["content"][0]["text"] for item in maker.output if item["type"] == "reasoning"]
    assert "".join(told) == "".join(str(what) for move, what in story[0] if move == "think")


@given(STORIES, CUTS)
def test_ids_are_unique(story: Story, lengths: list[int]) -> None:
    _, maker = events_of(REPLY, _log(story, lengths))
    ids = [item["id"] for item in maker.output]
    assert len(ids) == len(set(ids))


def test_the_first_characters_come_at_once() -> None:
    maker = ResponseEvents(REPLY)
    events = maker.take(frames.text_delta("0", "Hello"))
    assert [event.type for event in events[:2]] == ["response.output_item.added", "response.content_part.added"]
    assert [event.delta for event in events[2:]] == list("Hello")
    assert [event.number for event in events] == [4, 5, 6, 7, 8, 9, 10]


def test_a_long_text_comes_in_few_events() -> None:
    events = _events([frames.text_delta("0", "x" * 100_000), frames.finish("stop")])
    assert len(events) < 7_000


def test_a_search_is_told_before_it_has_found_anything() -> None:
    maker = ResponseEvents(REPLY)
    kinds = [event.type for event in maker.take(frames.tool_input("call_1", "web_search", {"query": "cats"}))]
    assert kinds == [
        "response.output_item.added",
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
    ]
    assert not maker.take(frames.tool_output("call_1", {"results": []}))
    assert not maker.take(frames.source_url("call_1-1", "https://e.org", "A page"))
    kinds = [event.type for event in maker.take(frames.start_step())]
    assert kinds == ["response.web_search_call.completed", "response.output_item.done"]
    assert maker.output[0]["action"] == {
        "type": "search",
        "query": "cats",
        "sources": [{"type": "url", "url": "https://e.org"}],
    }


def test_what_a_text_cites_is_told_with_its_place() -> None:
    written: list[Frame] = [
        frames.tool_input("call_1", "web_search", {"query": "rain"}),
        frames.tool_output("call_1", {"results": []}),
        *(frames.source_url(f"call_1-{number}", f"https://e.org/{number}", f"Page {number}") for number in (1, 2)),
        frames.start_step(),
        frames.text_delta("0", "It rains [1][2] and [3]."),
        frames.finish("stop"),
    ]
    events, maker = events_of(REPLY, written)
    told = [event.body["annotation"] for event in events if event.type == "response.output_text.annotation.added"]
    assert told == maker.output[1]["content"][0]["annotations"]
    assert [(one["start_index"], one["end_index"], one["url"], one["title"]) for one in told] == [
        (9, 12, "https://e.org/1", "Page 1"),
        (12, 15, "https://e.org/2", "Page 2"),
    ]


def test_a_decision_is_asked_for_before_there_is_an_outcome() -> None:
    maker = ResponseEvents(REPLY)
    maker.take(frames.tool_input("call_1", "db_propose_write", {"sql": "DELETE"}))
    asked = maker.take(frames.approval(OPERATION.format("01"), "call_1", "proposed"))
    assert [event.type for event in asked] == ["response.output_item.added", "response.output_item.done"]
    assert asked[0].body["item"]["type"] == "mcp_approval_request"
    assert not maker.take(frames.approval(OPERATION.format("01"), "call_1", "committed"))
    maker.take(frames.tool_output("call_1", {"rows": 1}))
    maker.take(frames.start_step())
    request, call = maker.output[1], maker.output[0]
    assert (call["type"], call["approval_request_id"]) == ("mcp_call", request["id"])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_message_whose_answer_broke_off_is_incomplete(outcome: Outcome) -> None:
    _, maker = events_of(REPLY, [frames.text_delta("0", "Hal"), *outcome.frames()])
    is_whole = outcome.finish_reason == "stop"
    assert maker.output[0]["status"] == ("completed" if is_whole else "incomplete")


def test_the_end_leaves_room_for_reasoning() -> None:
    maker = ResponseEvents(REPLY)
    maker.take(frames.finish("stop"))
    assert maker.end_number == 1 + FOR_REASONING + 1
