"""Texts that are ids of events, or nearly: of the latter, hypothesis makes few."""

import random
from collections.abc import Iterator
from typing import Final

from shared.ids import MAX_BIGINT

_EDGES: Final = (
    0, 1, 9, 10, 2**31, 2**53 - 1, 2**53, 10**9 - 1, 10**9, 10**12 - 1, 10**12, MAX_BIGINT, MAX_BIGINT + 1, 10**19,
)  # fmt: skip
_ODD: Final = (
    "", "0", "00", "1", "-", ":", "+", " ", "\n", "\r\n", "\0", ".", "_", ",", "/", "e3", "0x", "a", "٣", "１", "²", "\u200b",
    "\u2212", "\uff1a", "\ud800", "%00", "9" * 40,
)  # fmt: skip


def near_ids(seed: int, count: int) -> Iterator[str]:
    """Make so many texts: ids of events, numbers of events, and such with one to three places changed."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        text = _number(rng) if rng.random() < 0.2 else f"{_number(rng)}:{_number(rng)}-{_number(rng)}"
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            begin, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
            end = rng.choice((begin, begin + 1, end))
            text = text[:begin] + rng.choice(_ODD) + text[end:]
        yield text


def _number(rng: random.Random) -> str:
    return str(rng.choice(_EDGES) if rng.random() < 0.3 else rng.randrange(10 ** rng.randint(1, 12)))
