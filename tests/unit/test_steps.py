"""A reply's steps: wherever a log breaks off, what is saved leads its reader to the same message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.steps import Step, ToolUse, catch_up_steps, dump, load, new_step, to_model_messages
from services.worker.models.port import ToolCall
from shared.protocol import frames
from shared.protocol.transcript import Transcript, catch_up_text

FOUND = [{"title": "One", "url": "https://example.org/1", "content": "x" * 900}]
STEPS = [
    Step("Let me look. ", [ToolUse("a", "web_search", {"query": "one"}, found=FOUND)]),
    Step(
        "",
        [ToolUse("b", "web_search", {"query": "two"}, error="It failed."), ToolUse("c", "web_search", {}, found=[])],
    ),
    Step("Once more. ", [ToolUse("d", "web_search", {"query": "three"}, found=[*FOUND, *FOUND])]),
]


def render(parts: list[frames.Part]) -> Transcript:
    """What a reader has of these parts."""
    transcript = Transcript()
    for part in parts:
        transcript.take(part)
    return transcript


WHOLE = catch_up_steps(Transcript(), STEPS)


def test_steps_are_shown_one_after_the_other() -> None:
    kinds = [part["type"] for part in WHOLE]
    assert kinds == [
        *("start-step", "text-start", "text-delta", "text-end"),
        *("tool-input-available", "tool-output-available", "source-url", "finish-step"),
        *("start-step", "tool-input-available", "tool-input-available", "tool-output-error", "tool-output-available"),
        *("finish-step", "start-step", "text-start", "text-delta", "text-end"),
        *("tool-input-available", "tool-output-available"),
    ]
    assert render(WHOLE).text == "Let me look. Once more. "


@pytest.mark.parametrize("cut", range(len(WHOLE) + 1))
def test_wherever_a_log_breaks_off_the_rest_leads_to_the_same(cut: int) -> None:
    transcript = render(WHOLE[:cut])
    for part in catch_up_steps(transcript, STEPS):
        transcript.take(part)
    assert transcript.text == render(WHOLE).text
    assert transcript.tools == render(WHOLE).tools
    assert transcript.sources == render(WHOLE).sources
    assert transcript.text_open is None
    assert catch_up_steps(transcript, STEPS) == []


def test_what_is_being_said_after_the_steps_needs_nothing() -> None:
    transcript = render(
        [*WHOLE, frames.finish_step(), frames.start_step(), frames.text_start("9"), frames.text_delta("9", "So")]
    )
    assert catch_up_steps(transcript, STEPS) == []
    assert catch_up_text(transcript, transcript.text + " it is") == [frames.text_delta("9", " it is")]


def test_a_call_without_its_result_is_shown_and_waits() -> None:
    steps = [Step("", [ToolUse("a", "web_search", {"query": "one"})])]
    assert [part["type"] for part in catch_up_steps(Transcript(), steps)] == ["start-step", "tool-input-available"]


calls = st.builds(
    ToolUse,
    st.text(min_size=1, max_size=8),
    st.text(max_size=8),
    st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    st.none() | st.lists(st.just(FOUND[0]), max_size=2),
    st.none() | st.text(max_size=9),
)


@given(st.lists(st.builds(Step, st.text(max_size=20), st.lists(calls, max_size=3)), max_size=3))
def test_steps_are_saved_and_read_again(steps: list[Step]) -> None:
    assert load(dump(steps)) == steps


def test_no_two_calls_share_an_id() -> None:
    asked = [
        ToolCall("call_0", "web_search", {}),
        ToolCall("call_0", "web_search", {}),
        ToolCall("call_0-2", "web_search", {}),
    ]
    first = new_step("", asked[:2])
    second = new_step("", asked, [first])
    ids = [call.id for step in (first, second) for call in step.calls]
    assert ids[0] == "call_0"
    assert len(set(ids)) == len(ids) == 5


def test_the_model_is_told_calls_and_results_in_their_order() -> None:
    said = to_model_messages(STEPS, as_tools=True, max_chars=10_000)
    assert [(one.role, one.call_id, len(one.calls)) for one in said] == [
        *(("assistant", "", 1), ("tool", "a", 0)),
        *(("assistant", "", 2), ("tool", "b", 0), ("tool", "c", 0)),
        *(("assistant", "", 1), ("tool", "d", 0)),
    ]


def test_results_share_what_room_there_is() -> None:
    def size(max_chars: int) -> int:
        return sum(len(one.content) for one in to_model_messages(STEPS, as_tools=False, max_chars=max_chars))

    assert size(1_200) < size(10_000)
    assert [one.role for one in to_model_messages(STEPS, as_tools=False, max_chars=1_200)] == ["system"] * 4
