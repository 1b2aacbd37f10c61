"""Mutated answers of models, read as the worker reads them: whatever comes, an answer that had come does not fail.

For each stream it checks that

* reading raises nothing but a ModelError,
* reading raises nothing at all where text had come and the stream ended as it should,
* the chunks have the one shape that ChatGroq gets,
* the chunks are the same however the bytes are split,
* without tools, a text that came is said: no word that opens a call makes the rest vanish.

The exit code is 0 only when all of this held. A failed stream is printed with its seed, which makes it again.
"""

import argparse
import copy
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from services.worker.models.groq.body import Body
from services.worker.models.groq.reader import AnswerReader, Chunk
from shared.errors import ModelError

BATCH: Final = 2_000
SHOWN: Final = 5
TOOLS: Final = ("web_search", "current_time")
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 7, 1.5, 10**30, "", " ", "null", "x", [], {}, [None], [[]], {"": None}, {"text": "x"},
    ["x", {"text": "y"}], [{"type": "text"}], "\ud83d", "\ude00", "\udcf0", "\0", [{"index": "a"}],
)  # fmt: skip
TEXTS: Final = (
    "Hello", " there", ".", "\n", "\n\n", " ", "a < b", "`", "``", "```", "```py\n", "😀", "\ud83d", "\ude00", "Ł",
    "\x00", "<", "<think>", "</think>", "<thi", "nk>", "<|im_end|>", "<|eot_id|>", "<|", "|>", "</s>", "<s>", "[THINK]",
    "[/THINK]", "<|channel|>", "analysis", "final", "commentary", "<|message|>", "<|end|>", "<|start|>", "assistant",
    "assistantfinal", "<tool_call>", "</tool_call>", "<function=web_search>", "</function>", '{"name": "web_search", ',
    '"arguments": {}}', "[TOOL_CALLS]", "<|python_tag|>", " to=functions.web_search ", "<parameter=query>",
    "</parameter>", "<arg_key>", "{", "}", "<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>web_search", "<|start_header_id|>",
    "<|end_header_id|>", "<|im_start|>", "◁think▷",
)  # fmt: skip
JUNK: Final = (
    b": ping\n\n", b"data:\n\n", b"data: {}\n\n", b"\n", b"\r\n", b"event: ping\n", b"id: 1\n", b"data: {\n\n",
    b"data: [\n", b"nonsense\n", b"{}\n", b"data: null\n\n", b"data: 7\n\n", b'data: "x"\n\n',
    b'data: {"choices":null}\n\n', b"\xff\xfe\n", b'data: {"choices":[]}\n\n', b"data: [[]]\n\n", b'{"choices":\n',
    b"data: \xf0\x9f\n\n", b"retry: 3\n", b"data\n", b"[]\n",
)  # fmt: skip
ERRORS: Final = (
    b'data: {"error":"x"}\n\n', b'data: {"error":{"code":429}}\n\n', b"event: error\ndata: x\n\n", b'{"detail":"x"}\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n', b'data: {"error":{"message":7,"code":[]}}\n\n',
)  # fmt: skip

SURE: Final = "sure"
HEADERS: Final = (b"<|channel|>", b"<|start|>", b"<|start_header_id|>", b"assistantcommentary")
"""What stands behind these may be the header of a message, which is dropped."""


@dataclass
class Stream:
    """One stream. `must_succeed`: text comes in it, it ends as it should, and nothing in it is an error."""

    body: bytes
    must_succeed: bool


@dataclass
class Found:
    """What a batch showed."""

    streams: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def make(chance: random.Random) -> Stream:
    """A stream of a random answer, mutated here and there."""
    events = [_event(chance) for _ in range(chance.randrange(1, 12))]
    lines = [_line(chance, event) for event in events]
    said = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % SURE.encode()
    has_said = chance.random() < 0.7
    if has_said:
        lines.insert(chance.randrange(len(lines) + 1), b"\n" + said)
    has_error = chance.random() < 0.1
    if has_error:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(ERRORS))
    for _ in range(chance.choice((0, 0, 1, 3))):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(JUNK))
    has_end = chance.random() < 0.8
    if has_end:
        ends = (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n")
        lines += [b"\n", *chance.choice(((ends[0],), (ends[1],), ends))]
    body = b"".join(lines)
    form = chance.random()
    if form < 0.1:
        body = body.replace(b"\n", b"\r\n")
    elif form < 0.15:
        body = body.replace(b"\n", b"\r")
    elif form < 0.2:
        body = body.replace(b"data: ", b"data:")
    return Stream(body, must_succeed=has_said and has_end and not has_error)


def _event(chance: random.Random) -> dict[str, Any]:
    """An event of one of the shapes that endpoints send."""
    delta: dict[str, Any] = {"content": chance.choice(TEXTS)}
    sort = chance.random()
    if sort < 0.15:
        delta = {chance.choice(("reasoning", "reasoning_content", "refusal")): chance.choice(TEXTS)}
    elif sort < 0.35:
        function = {"name": chance.choice((*TOOLS, "web_", "x<|channel|>y")), "arguments": chance.choice(TEXTS)}
        delta = {
            "tool_calls": [{"index": chance.choice((0, 0, 1, None)), "id": chance.choice("ab"), "function": function}]
        }
    elif sort < 0.4:
        delta = {"function_call": {"name": "web_search", "arguments": chance.choice(TEXTS)}}
    choice: dict[str, Any] = {"index": 0, chance.choice(("delta",) * 9 + ("message",)): delta}
    if chance.random() < 0.3:
        choice["finish_reason"] = chance.choice((None, "", "null", "none"))
    event: dict[str, Any] = {"id": "x", "choices": [choice]}
    if chance.random() < 0.1:
        usage = {
            name: copy.deepcopy(chance.choice((3, *ODD)))
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        }
        event[chance.choice(("usage", "x_groq"))] = chance.choice((usage, {"usage": usage}))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        _mutate(chance, event)
    return event


def _mutate(chance: random.Random, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Change something somewhere within a value."""
    while isinstance(value, dict | list) and value:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = chance.choice(places)
        if chance.random() < 0.4 or not isinstance(value[place], dict | list) or not value[place]:
            if chance.random() < 0.2:
                del value[place]
            else:
                value[place] = copy.deepcopy(chance.choice(ODD))
            return
        value = value[place]


def _line(chance: random.Random, event: object) -> bytes:
    """An event's bytes, at times damaged."""
    text = bytearray(json.dumps(event, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass"))
    damage = chance.random()
    if damage < 0.05:
        del text[chance.randrange(len(text)) :]
    elif damage < 0.15:
        for _ in range(chance.randrange(1, 4)):
            text[chance.randrange(len(text))] = chance.randrange(256)
    return b"data: " + bytes(text) + b"\n\n"


def read(
    body: bytes, cuts: list[int], options: dict[str, Any], tools: tuple[str, ...] = TOOLS
) -> tuple[list[Chunk], str]:
    """The chunks of a body that comes in pieces with these ends, and the name of the error that ended it."""
    chunks, reader = list[Chunk](), Body(AnswerReader(tools, **options))
    try:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            chunks.extend(reader.read(body[start:end]))
            if reader.is_over:
                break
        chunks.extend(reader.end())
    except ModelError as error:
        return chunks, type(error).__name__
    finally:
        if reader.faults:
            raise AssertionError(f"the reader failed over {reader.faults} events")
    return chunks, ""


def has_shape(chunk: Chunk) -> bool:
    """Whether a chunk is one of those that ChatGroq gets."""
    (choice,) = chunk["choices"]
    delta = choice["delta"]
    calls = delta.get("tool_calls", [])
    return (
        chunk.keys() <= {"choices", "x_groq"}
        and delta.keys() <= {"content", "reasoning", "tool_calls"}
        and isinstance(delta.get("content", ""), str)
        and isinstance(delta.get("reasoning", ""), str)
        and isinstance(choice.get("finish_reason"), str | None)
        and all(isinstance(call["id"], str) and isinstance(call["function"]["name"], str) for call in calls)
        and all(isinstance(call["function"]["arguments"], str) for call in calls)
        and len({call["id"] for call in calls}) == len(calls)
    )


def check(seed: int, found: Found) -> None:
    """Read one stream whole and in pieces, and note what must not be."""
    chance = random.Random(seed)  # noqa: S311 - streams that can be made again
    stream = make(chance)
    options = chance.choice(({}, {}, {}, {"is_whole": True}, {"is_reasoning": True}, {"before": "a ``"}))
    found.streams += 1
    try:
        chunks, error = read(stream.body, [], options)
        size = chance.choice((1, 2, 3, 7, 64))
        again = read(stream.body, list(range(size, len(stream.body), size)), options)
        without_tools, _ = read(stream.body, [], options, ())
    except Exception as raised:  # noqa: BLE001 - this is what the program looks for
        found.failures.append(f"seed {seed}: raised {raised!r}: {stream.body!r}")
        return
    found.kinds[error or "answered"] += 1
    if not all(map(has_shape, chunks)):
        found.failures.append(f"seed {seed}: a chunk of another shape: {stream.body!r}")
    if error and stream.must_succeed:
        found.failures.append(f"seed {seed}: {error} ended an answer: {stream.body!r}")
    if again != (chunks, error):
        found.failures.append(f"seed {seed}: pieces of {size} bytes are read differently: {stream.body!r}")
    if stream.must_succeed and not any(header in stream.body for header in HEADERS):
        deltas = [chunk["choices"][0]["delta"] for chunk in without_tools]
        said = "".join(text for delta in deltas for text in delta.values() if type(text) is str)
        if SURE not in said:
            found.failures.append(f"seed {seed}: the text is lost: {stream.body!r}")


def check_batch(first: int, count: int) -> Found:
    """Check so many streams, from a seed on."""
    found = Found()
    for seed in range(first, first + count):
        check(seed, found)
    return found


def main() -> int:
    """Check, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first stream; the next streams count on")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    started, total = time.monotonic(), Found()
    firsts = range(asked.seed, asked.seed + asked.streams, BATCH)
    counts = [min(BATCH, asked.seed + asked.streams - first) for first in firsts]
    with ProcessPoolExecutor(asked.processes) as pool:
        for found in pool.map(check_batch, firsts, counts):
            total.streams += found.streams
            total.kinds += found.kinds
            total.failures += found.failures
    print(f"{total.streams:,} streams in {time.monotonic() - started:.0f} s, {len(total.failures)} failures")
    for name, count in total.kinds.most_common():
        print(f"  {name:<20} {count:>10,}")
    for failure in total.failures[:SHOWN]:
        print(failure)
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
