"""What a model says costs little more than its length, and is not held back without bound."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from services.worker.models.groq.calls import MAX_NAME_CHARS, said_calls
from services.worker.models.groq.reader import MAX_HELD_CHARS, AnswerReader, Chunk

TOOLS = ("web_search", "current_time")
SECONDS = 8.0
"""Of CPU for one text. The dearest takes a quarter of a second, most take a hundredth; what is cubic has no end."""
PIECES = [
    "<arg_key>",
    "<arg_key>a</arg_key>",
    "<arg_key>a</arg_key><arg_value>",
    "<parameter=a>",
    "<parameter name=",
    "</parameter>",
    "<function=web_search>",
    "to=web_search ",
    "to=      ",
    "[TOOL_CALLS]",
    "<tool_call>",
    '<tool_call>{"',
    "<tool_call>{} x ",
    "<tool_call>x</tool_call>",
    "<|python_tag|>{",
    "<|channel|>commentary<|message|>{",
    "<|start|>",
    "<|im_start|>user",
    "<|im_end|>",
    "<s>",
    "</s> ",
    "<think>",
    "<think>a</think>",
    "a</think>",
    "`</think>",
    "the <think> tag ",
    "`",
    "`` ```\n",
    "<",
    "[",
    '{"a": [',
    " ",
    "{ ",
]


def says(text: str) -> dict[str, Any]:
    """An event with this text."""
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def ended(reader: AnswerReader) -> list[Chunk]:
    """The last chunks of an answer that ended as it should."""
    return [*reader.read({"choices": [{"delta": {}, "finish_reason": "stop"}]}), *reader.end(is_done=True)]


def texts(chunks: list[Chunk], field: str = "content") -> str:
    """The text of chunks, or their reasoning."""
    return "".join(chunk["choices"][0]["delta"].get(field, "") for chunk in chunks)


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_that_comes_again_and_again_costs_what_its_length_costs(piece: str) -> None:
    many = 100_000 // len(piece)
    readings: list[tuple[Sequence[str], list[str]]] = [((), [piece * many]), (TOOLS, [piece] * 1_000)]
    for tools, parts in readings:
        reader, started = AnswerReader(tools), time.process_time()
        for part in parts:
            reader.read(says(part))
        ended(reader)
        assert time.process_time() - started < SECONDS
    for opening in ("", "<function=web_search>", "<tool_call>"):
        started = time.process_time()
        said_calls(opening + piece * (20_000 // len(piece)), TOOLS)
        assert time.process_time() - started < SECONDS


def test_the_name_of_a_call_that_never_ends_is_not_waited_for() -> None:
    reader = AnswerReader(TOOLS)
    for number in range(MAX_NAME_CHARS):
        call = {"index": 0, "function": {"name": f"and {number} "}}
        reader.read({"choices": [{"delta": {"tool_calls": [call]}}]})
    assert reader.is_over


def test_what_may_be_reasoning_is_shown_as_text_once_too_much_of_it_waits() -> None:
    reader, word = AnswerReader(is_reasoning=True), "thinks " * 1_000
    chunks = [chunk for _ in range(MAX_HELD_CHARS // len(word)) for chunk in reader.read(says(word))]
    assert not chunks
    chunks += reader.read(says(word))
    assert texts(chunks) == word * (MAX_HELD_CHARS // len(word) + 1)
    chunks += [*reader.read(says("and goes on")), *ended(reader)]
    assert texts(chunks).endswith("and goes on")
    assert not texts(chunks, "reasoning")
    assert not reader.was_assumed_wrongly


def test_an_answer_that_comes_at_its_end_is_shown_once_too_much_of_it_waits() -> None:
    reader, word = AnswerReader(is_whole=True), "thinks " * 1_000
    chunks = [chunk for _ in range(MAX_HELD_CHARS // len(word)) for chunk in reader.read(says(word))]
    assert not chunks
    chunks += reader.read(says(word))
    assert texts(chunks) == word * (MAX_HELD_CHARS // len(word) + 1)
    chunks += reader.read(says("and goes on"))
    assert texts(chunks).endswith("and goes on")
    assert not texts(ended(reader))


def test_reasoning_of_a_whole_answer_is_told_apart_however_many_words_of_markup_it_has() -> None:
    reader, thought = AnswerReader(is_whole=True), "I think. " * 10_000
    reader.read(says(f"{thought}<|im_end|>{thought}"))
    reader.read(says("</think>Hello"))
    chunks = ended(reader)
    assert (texts(chunks, "reasoning"), texts(chunks)) == (thought + thought, "Hello")
