"""What a request may ask of the model: bounds, and the form in which a row keeps it."""

import pytest
from pydantic import ValidationError

from shared.generations.parameters import (
    MAX_DEPTH,
    ClientTool,
    GivenCall,
    GivenMessage,
    NamedTool,
    Parameters,
    ResponseFormat,
)

ALL = Parameters(
    instructions="Be brief.",
    messages=(
        GivenMessage(role="user", content="What is the weather?"),
        GivenMessage(role="assistant", calls=(GivenCall(id="1", name="weather", arguments='{"city": "Rome"}'),)),
        GivenMessage(role="tool", content="sunny", call_id="1"),
    ),
    own_tools=(),
    tools=(ClientTool(name="weather", description="Tells it.", parameters={"type": "object"}, strict=True),),
    tool_choice=NamedTool(name="weather"),
    parallel_tool_calls=False,
    temperature=0.2,
    top_p=0.9,
    max_output_tokens=100,
    stop=("END",),
    seed=7,
    presence_penalty=0.5,
    frequency_penalty=-0.5,
    response_format=ResponseFormat(type="json_schema", name="answer", json_schema={"type": "object"}, strict=True),
    reasoning_effort="low",
)


def test_a_row_gives_back_what_was_put_into_it() -> None:
    assert Parameters.from_row(ALL.to_row()) == ALL


def test_what_is_not_asked_for_is_in_no_row() -> None:
    assert Parameters().to_row() == {}
    assert Parameters.from_row(None) == Parameters()
    assert Parameters(own_tools=()).to_row() == {"own_tools": []}


def test_a_row_of_a_later_release_can_be_read() -> None:
    assert Parameters.from_row({"temperature": 1.0, "not_known_yet": 1}) == Parameters(temperature=1.0)


@pytest.mark.parametrize(
    "asked",
    [
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"temperature": True},
        {"top_p": -0.1},
        {"max_output_tokens": 0},
        {"max_output_tokens": 1.5},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"stop": [""]},
        {"seed": 2**63},
        {"presence_penalty": 3},
        {"messages": []},
        {"instructions": "a\0"},
        {"tools": [{"name": "no spaces"}]},
        {"tools": [{"name": "a", "parameters": {"a": ["\ud800"]}}]},
        {"tools": [{"name": "a", "parameters": {"a\0": 1}}]},
        {"tools": [{"name": "a", "parameters": {"maximum": 2**64}}]},
        {"tools": [{"name": "a", "parameters": {"minimum": [-(2**63) - 1]}}]},
        {"tools": [{"name": "a", "parameters": {"maximum": float("inf")}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"maximum": float("nan")}}},
        {"reasoning_effort": "enormous"},
    ],
    ids=str,
)
def test_what_is_out_of_bounds_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(asked)


def test_json_that_nests_without_end_is_refused() -> None:
    nested: dict[str, object] = {}
    for _ in range(MAX_DEPTH + 1):
        nested = {"a": nested}
    with pytest.raises(ValidationError):
        Parameters(tools=(ClientTool(name="a", parameters=nested),))
