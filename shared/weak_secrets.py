"""Secrets that others know or can guess: published examples, words, sequences, patterns.

What a random generator makes is never taken for one: `openssl rand -hex 32`, `openssl rand -base64 32` and the like.
"""

import math
import re
from base64 import b64decode
from collections import Counter
from contextlib import suppress
from itertools import groupby, pairwise
from typing import Final

PUBLISHED: Final = (
    "09d25e094faa6ca2556c8181",  # FastAPI's documentation, "OAuth2 with Password (and hashing), Bearer with JWT tokens"
    "192b9bdd22ab9ed4d12e236c",  # Flask's documentation, "Configuration Handling"
    "3cfa76ef14937c1c0ea519f8",  # tutorials of Spring Security
    "aym1sysppbydfgzld3umj1qz",  # RFC 7515, appendix A.1
    "hjtxiz2usn5kbqfbttnwbpdm",  # RFC 7520, section 3.5
)
"""How published keys begin, in lower case: copies differ in their ends and their case, and in what stands before."""
WORDS: Final = (
    *("change", "secret", "example", "default", "password", "insecure", "replace", "sample", "placeholder", "cortexai"),
)
BEGINNINGS: Final = ("your-", "your_")
SEQUENCES: Final = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "0123456789" * 2,
    "0123456789abcdef" * 2,
    "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "1234567890qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
)
RUN: Final = 4
"""So many characters of a sequence, one after the other, are a run: in random hexadecimal one in some 500 places."""
LEAST_PASSWORD: Final = 12
LEAST_BITS: Final = 2.25
"""The entropy of a character by how often each occurs. 40 random decimal digits have 3.1, and hardly ever less than 2.5."""
LEAST_TEXT: Final = 20
"""Bytes. Of so many random ones, all are printable once in 400 million times; of 32, once in 10^13."""
WHOLE_BYTES: Final = re.compile(r"(?=.*[a-f])(?:[0-9a-f]{2})+")
"""Not of digits alone, which are decimal, and most of which would spell printable characters."""

_RUNS: Final = frozenset(
    text[start : start + RUN]
    for sequence in SEQUENCES
    for text in (sequence, sequence[::-1])
    for start in range(len(text) - RUN + 1)
)


def is_weak_password(password: str) -> bool:
    """Whether a password of a server looks as if others knew it or could guess it, or is short. No password is none."""
    return bool(password) and (len(password) < LEAST_PASSWORD or is_weak(password))


def is_weak(secret: str) -> bool:
    """Whether a secret looks as if others knew it or could guess it. Its length is not judged."""
    text = secret.lower()
    if text.startswith(BEGINNINGS) or any(known in text for known in (*PUBLISHED, *WORDS)):
        return True
    if _bits(secret) < LEAST_BITS or _repeats(text) or _is_sequence(text):
        return True
    return any(_counts(decoded) or _is_text(decoded) for decoded in _decoded(secret))


def _bits(text: str) -> float:
    """The entropy of a character, in bits (Shannon)."""
    shares = [number / len(text) for number in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def _repeats(text: str) -> bool:
    """Whether a text is one shorter text again and again."""
    return any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1))


def _is_sequence(text: str) -> bool:
    """Whether more than half of a text are runs of the alphabet, of digits, or of a keyboard; doubled characters count once."""
    single = "".join(character for character, _ in groupby(text))
    covered = set[int]()
    for start in range(len(single) - RUN + 1):
        if single[start : start + RUN] in _RUNS:
            covered.update(range(start, start + RUN))
    return len(covered) * 2 > len(single)


def _decoded(secret: str) -> list[bytes]:
    """The bytes that a secret spells, as hexadecimal or as base64."""
    found = []
    if WHOLE_BYTES.fullmatch(secret.lower()):
        found.append(bytes.fromhex(secret))
    # binascii.Error, a ValueError, for a text that is no base64.
    with suppress(ValueError):
        found.append(b64decode(secret.translate(str.maketrans("-_", "+/")) + "=" * (-len(secret) % 4), validate=True))
    return [each for each in found if len(each) > 1]


def _counts(data: bytes) -> bool:
    """Whether most bytes are the one before, or the next number up or down: `00 01 02 …`, all zeros."""
    steps = Counter((after - before) % 256 for before, after in pairwise(data))
    return any(steps[step] * 2 > len(data) for step in (0, 1, 255))


def _is_text(data: bytes) -> bool:
    """Whether the bytes are plain text: what some websites give as a key is one of their texts in hexadecimal."""
    return len(data) >= LEAST_TEXT and data.isascii() and data.decode().isprintable()
