"""What a summarizing model's answer says: a JSON object where it gave one, else plain text. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

import regex

from shared.protocol.encoding import clean

_FENCE: Final = regex.compile(r"\A```[\w-]*|```\Z")
_SUMMARY: Final = regex.compile(r'"summary"\s*:\s*("(?:[^"\\]|\\.){0,40000}")', regex.S)


@dataclass(frozen=True, slots=True)
class Given:
    """What a model gave: the summary, and `facts` and `forget` as they came, unchecked."""

    summary: str
    facts: list[Any] = field(default_factory=list)
    forget: list[Any] = field(default_factory=list)


def read_answer(text: str) -> Given:
    """Read an answer. One that is no JSON object is the summary itself; of a broken object the summary is saved."""
    text = _FENCE.sub("", clean(text).strip()).strip()
    begin = text.find("{")
    if begin < 0:
        return Given(text)
    try:
        given, _ = json.JSONDecoder(strict=False).raw_decode(text, begin)
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict) and "summary" in given:
        summary, facts, forget = given.get("summary"), given.get("facts"), given.get("forget")
        return Given(
            clean(summary).strip() if isinstance(summary, str) else "",
            facts if isinstance(facts, list) else [],
            forget if isinstance(forget, list) else [],
        )
    found = _SUMMARY.search(text)
    if found:
        return Given(clean(str(json.loads(found[1], strict=False))).strip())
    return Given("" if begin == 0 else text)
