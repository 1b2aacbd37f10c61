"""Facts: what users wrote and a summary must not lose. Facts are found by their look. Pure.

Models leave out numbers and names when they summarize. So the distinctive words of the summarized messages (numbers,
addresses, names, quotations, codes) are looked for in the new summary. The sentences around missing words are kept as
facts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.memory.facts import FACT_MAX_CHARS, Fact

MAX_PER_MESSAGE: Final = 12
"""The bound leaves room for the facts of other messages when one message is long."""
MAX_TOKEN_CHARS: Final = 120
MARGIN: Final = 40
"""In a long sentence, a fact begins so many characters before its first distinctive word."""
MAX_TOKENS: Final = 200
"""Of one message. A message with more distinctive words is a table or a listing, which no summary needs word for word."""

# Each repetition is bounded. So the time that a message takes grows with its length only.
_ADDRESS: Final = r"https?://[^\s<>\"]{1,2000}|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
_QUOTED: Final = r"\"[^\"\n]{2,80}\"|“[^”\n]{2,80}”|„[^“”\n]{2,80}[“”]|«[^»\n]{2,80}»"
_CODE: Final = r"\b(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])\w[\w-]{1,40}\b|\b[A-Z]{2,40}(?:-[A-Z0-9]{1,40}){0,4}\b"
_NUMBER: Final = r"(?<!\w)[$€£¥]?\d{1,40}(?:[.,:/]\d{1,40}){0,8}(?:\s?[%€$£¥](?!\d))?"
_WORD: Final = r"[A-ZÀ-ÖØ-Þ][\w'\u2019-]{0,40}"
_NAME: Final = rf"\b{_WORD}(?<=[a-zà-öø-ÿ])(?: {_WORD}){{0,4}}"
_TOKEN: Final = re.compile(
    f"(?P<address>{_ADDRESS})|(?P<quoted>{_QUOTED})|(?P<code>{_CODE})|(?P<number>{_NUMBER})|(?P<name>{_NAME})"
)
_WEIGHTS: Final = {"address": 5, "code": 4, "quoted": 3, "number": 3, "name": 2}
WEAK: Final = 1
SMALL_DIGITS: Final = 2
"""Numbers with so few digits seldom matter: they count something, or number a list."""
_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]*")
_EDGES: Final = "\"“”„«».,;:!?()[]'\u2019 "
_IN_NUMBERS: Final = re.compile(
    r"(?<=\d)[,.](?=\d{3}\b)|(?<!\d[$€£¥])(?<!\d\s[$€£¥])(?<=[$€£¥])\s(?=\d)|(?<=\d)\s(?=[%€$£¥](?!\d))"
)
"""What people may write in a number or leave out: commas between thousands, a space beside the unit."""

# A number may go on behind such a mark.
_NO_NUMBER_BEFORE: Final = r"(?<!\d[.,:/])"
_NO_NUMBER_BEHIND: Final = r"(?![.,:/]\d)"

# Words that begin sentences or have capitals, and are no names.
_COMMON: Final = frozenset(
    """a an and are as at be but by can could did do does for from had has have he hello hey hi how i i'd i'll i'm i've
    if in is it it's its just let let's me my no not now of ok okay on or our please she so thank thanks that the their
    then there these they this those to was we were what when where which who why will with would yes you your""".split()  # noqa: SIM905
)


class Token(NamedTuple):
    """A distinctive word or group of words, its place in the message, and its weight.

    More weight means more important.
    """

    text: str
    begin: int
    end: int
    weight: int


def tokens_in(text: str) -> list[Token]:
    """The distinctive tokens of a text, in order. A capital at the beginning of a sentence makes no name."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind, begin, value = str(match.lastgroup), match.start(), match.group()
        if kind == "name":
            if _begins_sentence(text, begin):
                first, _, rest = value.partition(" ")
                if not rest or first.casefold() in _COMMON:
                    begin, value = begin + len(first) + 1, rest
            if value.casefold() in _COMMON:
                continue
        value = value.rstrip(".,;:!?") if kind == "address" else value
        if value.strip(_EDGES) and len(value) <= MAX_TOKEN_CHARS:
            weight = WEAK if value.isdecimal() and len(value) <= SMALL_DIGITS else _WEIGHTS[kind]
            found.append(Token(value, begin, begin + len(value), weight))
    if len(found) > MAX_TOKENS:
        heaviest = sorted(found, key=lambda token: -token.weight)[:MAX_TOKENS]
        found = sorted(heaviest, key=lambda token: token.begin)
    return found


def _begins_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \t*_>#-\"“'(")
    return not before or before[-1] in ".!?:\n"


def covers(plain_text: str, token: str) -> bool:
    """Whether a plain text (see `plain`) has a token, as a whole: 7.5 has no 5, and 14:30 has no 30.

    Differences in capitals and in the form of numbers do not matter.
    """
    value = plain(token)
    front = _NO_NUMBER_BEFORE if value[:1].isdecimal() else ""
    back = _NO_NUMBER_BEHIND if value[-1:].isdecimal() else ""
    return re.search(rf"(?<!\w){front}{re.escape(value)}(?!\w){back}", plain_text) is not None


def plain(text: str) -> str:
    """A text in the form in which texts are compared: without capitals, and with one form for each number."""
    return _IN_NUMBERS.sub("", text.casefold()).strip(_EDGES)


@dataclass(frozen=True, slots=True)
class SummarizedMessage:
    """A user's message that the new summary covers, or the old summary.

    The position is None for a summary that the user wrote before any message was summarized.
    """

    position: int | None
    text: str


def facts_of(message: SummarizedMessage, summary: str) -> list[Fact]:
    """The facts of a message: its sentences with distinctive tokens that the plain summary (see `plain`) lacks.

    At most MAX_PER_MESSAGE: those whose tokens have the most weight together.
    """
    weighed: list[tuple[int, int, str]] = []
    tokens = [token for token in tokens_in(message.text) if not covers(summary, token.text)]
    for sentence in _SENTENCE.finditer(message.text):
        begin, end = sentence.span()
        inside = [token for token in tokens if begin <= token.begin and token.end <= end]
        # A quotation may contain the end of a sentence. Then no sentence has the whole token; the loop below adds it.
        for excerpt, weight in _excerpts(message.text, begin, end, inside):
            weighed.append((weight, len(weighed), excerpt))
    for token in tokens:
        if not any(covers(plain(excerpt), token.text) for _, _, excerpt in weighed):
            weighed.append((token.weight, len(weighed), _line(message.text[token.begin : token.end])))
    kept = sorted(weighed, key=lambda item: (-item[0], item[1]))[:MAX_PER_MESSAGE]
    return [Fact(excerpt, message.position) for _, _, excerpt in sorted(kept, key=lambda item: item[1])]


def _excerpts(text: str, begin: int, end: int, tokens: Sequence[Token]) -> Iterable[tuple[str, int]]:
    """Pieces of a sentence with all of its tokens, each with its weight, none longer than FACT_MAX_CHARS."""
    rest = list(tokens)
    while rest:
        start = begin if end - begin <= FACT_MAX_CHARS else max(begin, rest[0].begin - MARGIN)
        stop = min(end, start + FACT_MAX_CHARS)
        inside = [token for token in rest if token.end <= stop]
        if stop < end and inside:
            stop = max(inside[-1].end, text.rfind(" ", start, stop))
        yield _line(text[start:stop]), sum(token.weight for token in inside)
        rest = rest[max(1, len(inside)) :]


def _line(text: str) -> str:
    return " ".join(text.split())[:FACT_MAX_CHARS]


def kept_facts(
    known: Sequence[Fact], messages: Sequence[SummarizedMessage], summary: str, *, maximum: int
) -> tuple[Fact, ...]:
    """The facts to keep beside a summary that covers these messages too, by position.

    A known fact that the summary contains is dropped, unless it is pinned. When more than `maximum` facts remain,
    pinned facts stay first, then the newest facts with any token of more than weak weight, then the newest of the
    others.
    """
    plain_summary = plain(summary)
    still = [fact for fact in known if fact.pinned or not _is_in(plain_summary, fact)]
    new = [fact for message in messages for fact in facts_of(message, plain_summary)]
    by_text: dict[str, Fact] = {}
    for fact in (*still, *new):
        same = by_text.get(fact.text.casefold())
        if same is None or not same.pinned:
            by_text.pop(fact.text.casefold(), None)
            by_text[fact.text.casefold()] = fact
    ordered = sorted(by_text.values(), key=_place)
    # The last ones of this order are kept: weak facts are dropped first, then the oldest.
    ranked = sorted(ordered, key=lambda fact: (fact.pinned, not _is_weak(fact), _place(fact)))
    pinned = sum(fact.pinned for fact in ordered)
    return tuple(sorted(ranked[max(0, len(ranked) - max(maximum, pinned)) :], key=_place))


def _is_weak(fact: Fact) -> bool:
    return all(token.weight <= WEAK for token in tokens_in(fact.text))


def _place(fact: Fact) -> int:
    return fact.position or 0


def _is_in(plain_summary: str, fact: Fact) -> bool:
    tokens = tokens_in(fact.text)
    return bool(tokens) and all(covers(plain_summary, token.text) for token in tokens)
