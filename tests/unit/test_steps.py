"""A reply's steps: wherever a log breaks off, what is saved leads its reader to the same message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.steps import (
    REPEATED,
    TOO_MANY,
    Step,
    ToolUse,
    catch_up_steps,
    dump,
    found_pages,
    load,
    new_step,
    to_model_messages,
    to_quoted_results,
)
from services.worker.models.port import ToolCall
from services.worker.models.tokens import SMALL
from services.worker.tools.port import Source, ToolFailure, ToolResult
from shared.protocol import frames
from shared.protocol.catch_up import catch_up_text
from shared.protocol.frames import Frame
from shared.protocol.transcript import Transcript

PAGE = {"title": "One", "url": "https://example.org/1", "content": "x" * 900}


def found(pages: int) -> ToolResult:
    """A result that has the same page so many times."""
    shown = {"results": [{"title": PAGE["title"], "url": PAGE["url"]}] * pages}
    return ToolResult([PAGE] * pages, shown, (Source(PAGE["url"], PAGE["title"]),) * pages)


STEPS = [
    Step("Let me look. ", [ToolUse("a", "web_search", {"query": "one"}, found(1))]),
    Step(
        "",
        [
            ToolUse("b", "web_search", {"query": "two"}, ToolFailure("failed", "It failed.")),
            ToolUse("c", "web_search", {}, found(0)),
        ],
    ),
    Step("Once more. ", [ToolUse("d", "web_search", {"query": "three"}, found(2))]),
]


def render(parts: list[Frame]) -> Transcript:
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


def test_what_a_call_proposes_is_shown_behind_all_that_the_others_gave() -> None:
    asking = ToolUse("a", "change", {}, operation_id="o")
    steps = [Step("", [asking, ToolUse("b", "web_search", {}, found(1))])]
    *_, last = catch_up_steps(Transcript(), steps)
    assert last == frames.approval("o", "a", "proposed")


texts = st.text(max_size=8)
results = st.builds(
    ToolResult,
    st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2),
    st.dictionaries(texts, texts, max_size=2),
    st.lists(st.builds(Source, texts, texts), max_size=2).map(tuple),
    st.lists(st.just(frames.title("x")), max_size=1).map(tuple),
    texts,
)
failures = st.builds(ToolFailure, st.sampled_from(["timeout", "failed"]), texts, texts)
calls = st.builds(
    ToolUse,
    st.text(min_size=1, max_size=8),
    texts,
    st.none() | st.dictionaries(texts, texts, max_size=2),
    st.none() | results | failures,
)


@given(st.lists(st.builds(Step, st.text(max_size=20), st.lists(calls, max_size=3)), max_size=3))
def test_steps_are_saved_and_read_again(steps: list[Step]) -> None:
    assert load(json.loads(json.dumps(dump(steps)))) == steps


def test_a_failure_that_quotes_rows_counts_as_rows_and_is_saved_so() -> None:
    quoting = ToolFailure("failed", "It is no number: Ada", has_rows=True)
    for failure, has_rows in ((quoting, True), (ToolFailure("failed", "It failed."), False)):
        ((saved,),) = (step.calls for step in load(dump([Step("", [ToolUse("a", "db_query", {}, failure)])])))
        assert (saved.has_rows, saved.outcome) == (has_rows, failure)


def test_steps_of_the_first_form_are_read_and_shown_as_before() -> None:
    first_form = [
        {
            "text": "Let me look. ",
            "calls": [
                {"id": "a", "name": "web_search", "given": {"query": "one"}, "found": [PAGE], "error": None},
                {"id": "b", "name": "web_search", "given": None, "found": None, "error": "It failed."},
                {"id": "c", "name": "web_search", "given": {"query": "two"}, "found": None, "error": None},
            ],
        }
    ]
    steps = load(first_form)
    assert load(dump(steps)) == steps
    assert steps[0].calls[2].outcome is None
    shown = [part for part in catch_up_steps(Transcript(), steps) if part["type"].startswith(("tool-", "source"))]
    assert shown == [
        frames.tool_input("a", "web_search", {"query": "one"}),
        frames.tool_input("b", "web_search", {}),
        frames.tool_input("c", "web_search", {"query": "two"}),
        frames.tool_output("a", {"results": [{"title": "One", "url": "https://example.org/1"}]}),
        frames.source_url("a-1", "https://example.org/1", "One"),
        frames.tool_error("b", "It failed."),
    ]
    steps[0].calls.pop()
    _, told, failed = to_model_messages(steps, max_tokens=2_500, vocabulary=SMALL)
    assert json.loads(told.content.partition("\n")[2]) == [PAGE]
    assert "failed" in failed.content


def test_workers_of_the_release_before_read_saved_steps_too() -> None:
    clock = ToolUse("e", "current_time", {"time_zone": "UTC"}, ToolResult([{"time": "now"}], {"time": "now"}))
    saved = dump([*STEPS, Step("", [clock, ToolUse("f", "web_search", None)])])
    calls = {call["id"]: call for step in saved for call in step["calls"]}
    assert {frozenset(call) for call in calls.values()} == {frozenset({"id", "name", "given", "found", "error"})}
    assert (calls["a"]["given"], calls["a"]["found"], calls["a"]["error"]) == ({"query": "one"}, [PAGE], None)
    assert (calls["b"]["found"], calls["b"]["error"]) == (None, "It failed.")
    assert (calls["c"]["found"], calls["c"]["error"]) == ([], None)
    assert (calls["e"]["found"], bool(calls["e"]["error"])) == (None, True)
    assert (calls["f"]["found"], calls["f"]["error"]) == (None, None)


def test_further_frames_of_a_result_are_shown_in_front_of_its_output() -> None:
    title = frames.title("x")
    steps = [Step("", [ToolUse("a", "list", {}, ToolResult([], {"rows": 2}, frames=(title,)))])]
    kinds = [part["type"] for part in catch_up_steps(Transcript(), steps)]
    assert kinds == ["start-step", "tool-input-available", "data-title", "tool-output-available"]


def test_no_two_calls_share_an_id() -> None:
    asked = [
        ToolCall("call_0", "web_search", {}),
        ToolCall("call_0", "web_search", {"query": "a"}),
        ToolCall("call_0-2", "web_search", {"query": "b"}),
    ]
    first = new_step("", asked[:2])
    second = new_step("", asked, [first])
    ids = [call.id for step in (first, second) for call in step.calls]
    assert ids[0] == "call_0"
    assert len(set(ids)) == len(ids) == 5


def test_a_step_makes_so_many_calls_and_none_of_them_twice() -> None:
    queries = ["a", "b", "a", "c", "d", "b"]
    step = new_step("", [ToolCall(f"c{at}", "web_search", {"query": query}) for at, query in enumerate(queries)])
    assert [call.is_made for call in step.calls] == [True, True, False, True, False, False]
    assert [call.outcome for call in step.calls] == [None, None, REPEATED, None, TOO_MANY, REPEATED]
    assert load(json.loads(json.dumps(dump([step])))) == [step]
    shown = render(catch_up_steps(Transcript(), [step]))
    assert list(shown.tools) == ["c0", "c1", "c3"]
    assert catch_up_steps(shown, [step]) == []
    told = to_model_messages([step], max_tokens=1_000, vocabulary=SMALL)
    assert [one.call_id for one in told if one.role == "tool"] == [call.id for call in step.calls]
    assert len(to_quoted_results([step], max_tokens=1_000, vocabulary=SMALL)) == 3


def test_the_model_is_told_calls_and_results_in_their_order() -> None:
    said = to_model_messages(STEPS, max_tokens=2_500, vocabulary=SMALL)
    assert [(one.role, one.call_id, len(one.calls)) for one in said] == [
        *(("assistant", "", 1), ("tool", "a", 0)),
        *(("assistant", "", 2), ("tool", "b", 0), ("tool", "c", 0)),
        *(("assistant", "", 1), ("tool", "d", 0)),
    ]


def test_results_share_what_room_there_is() -> None:
    def texts(max_tokens: int) -> list[str]:
        return to_quoted_results(STEPS, max_tokens=max_tokens, vocabulary=SMALL)

    assert sum(map(len, texts(300))) < sum(map(len, texts(2_500)))
    assert len(texts(300)) == 4


def test_pages_that_were_found_are_known_by_title_url_and_a_short_excerpt() -> None:
    page = {"title": "T" * 900, "url": "https://example.org/1", "content": "word\n " * 900}
    found = ToolResult([page], {}, (Source(page["url"], page["title"]), Source("https://example.org/2", "Bare")))
    told = found_pages([Step("", [ToolUse("a", "web_search", {}, found), ToolUse("b", "web_search", {})])])
    assert [(len(one.title), one.url) for one in told] == [(240, page["url"]), (4, "https://example.org/2")]
    assert told[0].excerpt.startswith("word word")
    assert (len(told[0].excerpt) <= 240, told[1].excerpt) == (True, "")
