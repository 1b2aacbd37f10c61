"""What a summarizing model's answer says, in whatever form the model gave it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.model_answers import Given, read_answer

WHOLE = {"summary": "They met.", "facts": [{"position": 1}], "forget": [{"position": 2}]}
READ = Given("They met.", [{"position": 1}], [{"position": 2}])


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "  \n{}\n ",
        "```json\n{}\n```",
        "```\n{}\n```",
        "```json {} ```",
        "Here is the JSON object:\n{}",
        "{}\nI hope that this helps!",
        "Sure:\n```json\n{}\n```\nDone.",
        "{}\n{{}}",
    ],
)
def test_a_json_object_is_found_in_whatever_stands_around_it(form: str) -> None:
    assert read_answer(form.format(json.dumps(WHOLE))) == READ
    assert read_answer(form.format(json.dumps(WHOLE, indent=2))) == READ


@pytest.mark.parametrize("text", ["They met.", "They met in Turku, by the river.\n\nThen they left.", "[1, 2]", '"no"'])
def test_plain_text_is_the_summary_itself(text: str) -> None:
    assert read_answer(f"\n {text} \n") == Given(text)


def test_a_line_break_inside_a_string_is_read() -> None:
    assert read_answer('{"summary": "One.\nTwo.", "facts": []}').summary == "One.\nTwo."


@pytest.mark.parametrize(
    "broken",
    [
        '{"summary": "They \\"met\\".", "facts": [{"position": 1, "quo',
        '{"summary": "They \\"met\\".", facts: []}',
        '{"facts": [,], "summary": "They \\"met\\"."}',
        '{\'facts\': [], "summary" :\n"They \\"met\\"."}',
        '```json\n{"summary": "They \\"met\\".", "facts": [\n```',
    ],
)
def test_of_a_broken_object_the_summary_is_read(broken: str) -> None:
    assert read_answer(broken) == Given('They "met".')


@pytest.mark.parametrize("useless", ["{", "{}", '{"text": "They met."}', '{"summary": "They m', '{"summary": 7 7}'])
def test_an_object_without_a_summary_says_nothing(useless: str) -> None:
    assert read_answer(useless).summary == ""


@pytest.mark.parametrize("value", [None, 7, True, ["They met."], {"summary": "They met."}])
def test_a_summary_that_is_no_text_is_empty(value: object) -> None:
    assert read_answer(json.dumps({"summary": value})).summary == ""


@pytest.mark.parametrize("value", [None, 7, "none", {"position": 1}])
def test_facts_that_are_no_list_are_none(value: object) -> None:
    read = read_answer(json.dumps({"summary": "They met.", "facts": value, "forget": value}))
    assert (read.summary, read.facts, read.forget) == ("They met.", [], [])


def test_braces_in_plain_text_are_text() -> None:
    text = "They spoke of {a: 1} and of sets."
    assert read_answer(text) == Given(text)


def test_what_can_not_be_saved_is_taken_out() -> None:
    assert "\x00" not in read_answer('{"summary": "a\\u0000b\\ud800c"}').summary
    assert "\x00" not in read_answer("a\x00b").summary


@pytest.mark.parametrize(
    "text",
    [
        "{" * 50_000,
        '{"a":' * 50_000,
        '{"summary": ' + "[" * 50_000,
        '{"summary": "x", "facts": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '"summary": "' * 5_000,
        '{"summary": "' + "a" * 300_000,
        '{"summary": "' + "\\" * 100_001,
        "```" * 50_000,
        " " * 300_000 + "{",
    ],
)
def test_however_deep_or_long_an_answer_is_it_is_read_quickly(text: str) -> None:
    begin = time.process_time()
    assert isinstance(read_answer(text).summary, str)
    assert time.process_time() - begin < 5


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["summary", "facts", "a"]), inner),
    max_leaves=8,
)


@given(values, st.text(max_size=10), st.integers(0, 60))
def test_no_answer_raises_an_error(value: object, around: str, end: int) -> None:
    whole = json.dumps(value)
    for text in (whole, whole[:end], f"{around}{whole}{around}", around):
        read = read_answer(text)
        assert isinstance(read.summary, str)
        assert isinstance(read.facts, list)
        assert isinstance(read.forget, list)
        read.summary.encode()


@given(st.dictionaries(st.sampled_from(["facts", "forget", "x"]), values), st.text())
def test_a_whole_object_is_read_as_it_is(besides: dict[str, object], around: str) -> None:
    text = json.dumps({"summary": "They met.", **besides})
    read = read_answer(f"{around.replace('{', '')}{text}")
    assert read.summary == "They met."
    assert read.facts == (besides["facts"] if isinstance(besides.get("facts"), list) else [])
