"""Extracts: what stands for messages when no model gave a usable summary: their own sentences, the most telling ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import regex

from services.worker.summaries.distinctive import sentences_in, words_in
from services.worker.summaries.messages import SummarizedMessage
from services.worker.summaries.reversals import is_reversal
from shared.visible_text import ELLIPSIS, cut

SENTENCE_CHARS: Final = 240
"""Of a longer sentence the beginning is taken."""
SENTENCES: Final = 40
"""Of a message, so many sentences are looked at."""
BY_USER: Final = 4
"""What a sentence of the user's weighs more than one of the assistant's."""
CHANGE: Final = 4
"""What a sentence of the user's weighs more that changes something: what it changes may be told elsewhere."""
STATEMENT: Final = 2
"""What a sentence weighs more that is no question."""
_SAID: Final = regex.compile(r"\d+ (?P<role>user|assistant): ")
"""How a line of an extract begins."""
QUESTION_MARKS: Final = "?\uff1f\u061f;"


@dataclass(frozen=True, slots=True)
class _Line:
    weight: int
    place: int
    text: str


def extract_of(messages: Sequence[SummarizedMessage], max_chars: int) -> str:
    """The sentences that weigh most, in their order, each with its position and role, in at most `max_chars` characters.

    Sentences with numbers, names and codes weigh most, and the user's more than the assistant's.
    """
    lines = list[_Line]()
    for message in messages:
        for begin, end in list(sentences_in(message.content))[:SENTENCES]:
            sentence = " ".join(message.content[begin:end].split())
            if not sentence:
                continue
            weight = 1 + sum(word.weight for word in words_in(sentence))
            weight += STATEMENT * (sentence[-1] not in QUESTION_MARKS)
            if message.role == "user":
                weight += BY_USER + CHANGE * is_reversal(sentence)
            lines.append(_Line(weight, len(lines), f"{message.position} {message.role}: {_shortened(sentence)}"))
    return _heaviest(lines, max_chars)


def shorter(text: str, max_chars: int) -> str:
    """The lines and sentences of a text that weigh most, in their order, in at most `max_chars` characters."""
    if len(text) <= max_chars:
        return text
    lines = list[_Line]()
    for line in text.splitlines():
        said = _SAID.match(line)
        for begin, end in sentences_in(line):
            sentence = line[begin:end].strip()
            if sentence:
                weight = 1 + sum(word.weight for word in words_in(sentence))
                # What a model wrote is about what the user said.
                if not said or said["role"] == "user":
                    weight += BY_USER + CHANGE * is_reversal(sentence.removeprefix(said[0] if said else ""))
                lines.append(_Line(weight, len(lines), _shortened(sentence)))
    return _heaviest(lines, max_chars)


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= SENTENCE_CHARS else cut(sentence, SENTENCE_CHARS - 1) + ELLIPSIS


def _heaviest(lines: Sequence[_Line], max_chars: int) -> str:
    kept, left = list[_Line](), max_chars
    for line in sorted(lines, key=lambda line: (-line.weight, line.place)):
        if len(line.text) + 1 <= left:
            kept.append(line)
            left -= len(line.text) + 1
    return "\n".join(line.text for line in sorted(kept, key=lambda line: line.place))
