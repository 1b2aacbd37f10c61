"""Every kind of frame is taken by the oldest and by the newest version of the AI SDK that is supported.

Some versions refuse a frame with a key that its type does not define. The frames are made from the types themselves, so that
no new one can be forgotten here.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from shared.protocol import frames
from shared.protocol.encoding import RESET, decode
from tests.clients.programs import Program

VERSIONS = ("ai-5-oldest", "ai-5-newest", "ai-6-oldest", "ai-6-newest", "ai-7-oldest", "ai-7-newest")
PLAIN: dict[Any, Any] = {str: "a", int: 7, float: 1.5, bool: True, NoneType: None, Any: {"any": ["json"]}}


def kinds(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """The types of a union, unions in it too."""
    if get_origin(annotation) in {Union, UnionType}:
        for member in get_args(annotation):
            yield from kinds(member)
    else:
        yield annotation


def samples(annotation: Any) -> list[Any]:  # noqa: ANN401
    """Values of a type: with and without each optional key, and every one of its literals."""
    if annotation in PLAIN:
        return [PLAIN[annotation]]
    if is_typeddict(annotation):
        hints = get_type_hints(annotation)
        values = {key: samples(hint) for key, hint in hints.items()}
        whole = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
        optional = annotation.__optional_keys__
        return whole + [{k: v for k, v in whole[0].items() if k not in gone} for gone in [optional] if gone]
    match get_origin(annotation):
        case origin if origin is Literal:
            return list(get_args(annotation))
        case origin if origin is list:
            return [samples(get_args(annotation)[0]), []]
        case origin if origin is dict:
            return [{"key": samples(get_args(annotation)[1])[0]}]
        case origin if origin in {Union, UnionType}:
            return [value for kind in kinds(annotation) for value in samples(kind)]
    raise AssertionError(f"no sample of {annotation} is known")


SENT = [sample for kind in kinds(frames.Frame) for sample in samples(kind)]
SENT.append(decode(RESET))  # is in no log


def test_each_type_of_frame_is_among_the_samples() -> None:
    assert {kind.__name__ for kind in kinds(frames.Frame)} >= {"Start", "TextDelta", "DataTitle", "DataError", "Abort"}
    assert len({sample["type"] for sample in SENT}) == len(list(kinds(frames.Frame))) + 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_version_takes_every_frame(node: Callable[[str], Program], version: str) -> None:
    lines = [json.dumps(sample) for sample in SENT]
    assert await node("check_chunks.mjs").run(version, lines=lines) == []


@pytest.mark.parametrize("version", ["ai-5-oldest", "ai-6-oldest", "ai-7-oldest"])
async def test_the_check_finds_a_key_that_a_version_does_not_define(
    node: Callable[[str], Program], version: str
) -> None:
    refused = '{"type": "error", "errorText": "Sorry.", "code": "model_timeout"}'
    assert await node("check_chunks.mjs").run(version, lines=[refused]) == [refused]
