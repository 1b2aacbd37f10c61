"""From a recording to what its reader saw: the tokens with their ages, and everything that is wrong with them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from recording import Recording

NS_PER_MS: Final = 1_000_000
HTTP_OK: Final = 200
TERMINAL: Final = frozenset({"finish", "error", "abort"})


@dataclass(slots=True)
class Reading:
    """One stream, read; `faults` says in words what is wrong, and is empty when all is well.

    `ages` and `first_token` (since the request was sent) are in milliseconds, `*_at` and `stamps`
    (when the double sent each token) are time.time_ns().
    """

    sent_at: int = 0
    ages: list[float] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    first_token: float | None = None
    last_at: int = 0
    frames: int = 0
    tokens: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read(recording: Recording, expected_tokens: int, *, direct: bool) -> Reading:
    """Read one stream and check it; `direct` when it comes from the Groq double itself, not from CortexAI."""
    reading = Reading(recording.sent_at, faults=[recording.trouble] if recording.trouble else [])
    status, body = _body(recording)
    if status != HTTP_OK:
        reading.faults = reading.faults or [_refusal(status, body)]
        return reading
    terminal, done, text, previous = "", False, "", (0, 0)
    for at, event in _events(body):
        position, content = _fields(event)
        if content == "[DONE]":
            done = True
            continue
        if not content:
            continue
        frame = json.loads(content)
        if not direct and (not position or position.endswith(":0-0")) and frame.get("transient"):
            continue  # a queue position or a title, which are in no log and so have no id of their own
        reading.frames += 1
        if not direct:
            previous = _follow(previous, position, reading)
        if terminal:
            reading.faults.append(f"a frame after the terminal frame: {content[:80]}")
        delta, ended = _chunk(frame) if direct else _frame(frame)
        terminal = ended or terminal
        *words, text = (text + delta).split(" ")
        for word in words:
            take(word, at, reading)
    reading.faults += _ending(terminal, done=done) + check(reading.tokens, expected_tokens)
    return reading


def _refusal(status: int, body: list[tuple[int, bytes]]) -> str:
    answer = b"".join(payload for _, payload in body)[:200]
    return f"status {status}: {answer.decode(errors='replace')}" if status else "no answer"


def _ending(terminal: str, *, done: bool) -> list[str]:
    well = terminal in {"finish", "stop"}
    return ([] if well else [f"ended with {terminal or 'no terminal frame'}"]) + ([] if done else ["no [DONE]"])


def _frame(frame: dict[str, Any]) -> tuple[str, str]:
    """Return the text and, of a terminal frame, its kind."""
    kind = str(frame["type"])
    return (str(frame["delta"]) if kind == "text-delta" else ""), (kind if kind in TERMINAL else "")


def _chunk(chunk: dict[str, Any]) -> tuple[str, str]:
    choice = chunk["choices"][0]
    return choice["delta"].get("content") or "", choice["finish_reason"] or ""


def take(word: str, at: int, reading: Reading) -> None:
    """Take one token, received at `at` (time.time_ns())."""
    number, _, stamp = word.partition("@")
    if not number[1:].isdigit():
        reading.faults.append(f"not a token: {word[:40]!r}")
        return
    reading.tokens.append(int(number[1:]))
    reading.last_at = at
    if reading.first_token is None:
        reading.first_token = (at - reading.sent_at) / NS_PER_MS
    if stamp:
        reading.stamps.append(int(stamp, 36))
        reading.ages.append((at - reading.stamps[-1]) / NS_PER_MS)


def _follow(previous: tuple[int, int], position: str, reading: Reading) -> tuple[int, int]:
    """Check that a frame's id follows the one before: `<message id>:<attempt>-<sequence>`, with no gap."""
    attempt, _, sequence = position.rpartition(":")[2].partition("-")
    if not (attempt.isdigit() and sequence.isdigit()):
        reading.faults.append(f"no id, or an unreadable one: {position!r}")
        return previous
    current = (int(attempt), int(sequence))
    if current[0] < previous[0] or current[1] != previous[1] + 1:
        reading.faults.append(f"frame {current} follows {previous}")
    return current


def check(tokens: list[int], expected: int) -> list[str]:
    """Say what is wrong with the numbers of the tokens that came; nothing when they are 1 to `expected` in order."""
    if tokens == list(range(1, expected + 1)):
        return []
    lost = expected - len(set(tokens) & set(range(1, expected + 1)))
    doubled = len(tokens) - len(set(tokens))
    reordered = sum(later < earlier for earlier, later in pairwise(tokens))
    return [f"{lost} tokens lost, {doubled} doubled, {reordered} out of order"]


def _body(recording: Recording) -> tuple[int, list[tuple[int, bytes]]]:
    """Return the status and the body's pieces, out of their chunks, each with its time of receipt."""
    buffer, status, chunked, payloads = b"", 0, False, list[tuple[int, bytes]]()
    for at, piece in recording.pieces:
        buffer += piece
        if not status:
            head, separator, rest = buffer.partition(b"\r\n\r\n")
            if not separator:
                continue
            status, chunked, buffer = int(head.split(b" ", 2)[1]), b"chunked" in head.lower(), rest
        if not chunked:
            payloads.append((at, buffer))
            buffer = b""
            continue
        while (end := buffer.find(b"\r\n")) > 0 and len(buffer) >= (over := end + 2 + int(buffer[:end], 16)) + 2:
            payloads.append((at, buffer[end + 2 : over]))
            buffer = buffer[over + 2 :]
    return status, payloads


def _events(body: list[tuple[int, bytes]]) -> Iterator[tuple[int, str]]:
    """Yield each SSE event with the time at which its last byte came."""
    buffer = b""
    for at, payload in body:
        *events, buffer = (buffer + payload).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            yield at, event.decode()


def _fields(event: str) -> tuple[str, str]:
    """Return an event's id and data."""
    position, lines = "", list[str]()
    for line in event.split("\n"):
        name, _, value = line.partition(":")
        if name == "id":
            position = value.removeprefix(" ")
        elif name == "data":
            lines.append(value.removeprefix(" "))
    return position, "\n".join(lines)
