"""Distinctive words: numbers, names, addresses, codes, paths and quotations, which a summary must not lose. Pure.

Models leave such words out when they summarize. They are found by their look, in any language.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import regex

from shared.memory.facts import FACT_MAX_CHARS

MAX_PER_MESSAGE: Final = 12
"""The bound leaves room for the sentences of other messages when one message is long."""
MAX_WORD_CHARS: Final = 120
MARGIN: Final = 40
"""In a long sentence, a fact begins so many characters before its first distinctive word."""
MAX_WORDS: Final = 200
"""Of one message. A message with more distinctive words is a table or a listing, which no summary needs word for word."""

# Each repetition is bounded. So the time that a message takes grows with its length only.
_ADDRESS: Final = r"https?://[^\s<>\"]{1,2000}|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
_QUOTED: Final = r"\"[^\"\n]{2,80}\"|“[^”\n]{2,80}”|„[^“”\n]{2,80}[“”]|«[^»\n]{2,80}»"
_CODE: Final = (
    r"(?<![\p{Latin}\d_/-])(?:"
    r"--?[\p{Latin}]\w{1,30}(?:-\w{1,30}){0,5}"  # a flag
    r"|~?/(?:[\w.@-]{1,60}/){1,12}[\w.@-]{0,60}"  # a path
    r"|[\p{Latin}\d]{1,40}(?:_[\p{Latin}\d]{1,40}){1,8}"  # snake_case
    r"|\p{Ll}{1,30}(?:\p{Lu}[\p{Ll}\d]{1,30}){1,6}"  # camelCase
    r"|(?=[\w-]{0,40}\d)(?=[\w-]{0,40}\p{Latin})[\p{Latin}\d][\p{Latin}\d-]{1,40}"  # letters and digits
    r"|\p{Lu}{2,40}(?:-[\p{Lu}\d]{1,40}){0,4}"  # capitals
    r")(?![\p{Latin}\d])"
)
_NUMBER: Final = r"(?<![\p{Latin}\d_])[$€£¥]?\d{1,40}(?:[.,:/-]\d{1,40}){0,8}(?:\s?[%€$£¥](?!\d))?(?![\p{Latin}\d])"
_WORD: Final = r"\p{Lu}[\p{L}\p{M}\d'\u2019-]{0,40}"
_NAME: Final = (
    rf"(?<!\w)(?=\p{{Lu}}[\p{{L}}\p{{M}}\d'\u2019-]{{0,40}}?\p{{Ll}}){_WORD}(?![\p{{L}}\d])(?: {_WORD}){{0,4}}"
)
_DISTINCTIVE: Final = regex.compile(
    f"(?P<address>{_ADDRESS})|(?P<quoted>{_QUOTED})|(?P<code>{_CODE})|(?P<number>{_NUMBER})|(?P<name>{_NAME})"
)
_WEIGHTS: Final = {"address": 5, "code": 4, "quoted": 3, "number": 3, "name": 2}
WEAK: Final = 1
SMALL_DIGITS: Final = 2
"""Numbers with so few digits seldom matter: they count something, or number a list."""
_SENTENCE: Final = regex.compile(
    r"[^.!?\u3002\uff01\uff1f\n]+(?:[.!?](?!\s|$)[^.!?\u3002\uff01\uff1f\n]*)*[.!?\u3002\uff01\uff1f]*"
)
_ABBREVIATION: Final = regex.compile(
    r"(?:^|(?<=\W))(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Hr|Hrn|Fr|Sr|Sra|Mme|Mlle|Dott|Sig|Nr|Tel|bzw|ca|vs|approx|e\.g|i\.e|z\.B)\.$"
)
LONGEST_ABBREVIATION: Final = 8
"""Characters, with the full stop and the one before."""
_EDGES: Final = "\"“”„«».,;:!?()[]'\u2019 "
_IN_NUMBERS: Final = regex.compile(
    r"(?<=\d)[,.](?=\d{3}\b)|(?<!\d[$€£¥])(?<!\d\s[$€£¥])(?<=[$€£¥])\s(?=\d)|(?<=\d)\s(?=[%€$£¥](?!\d))"
)
"""What people may write in a number or leave out: commas between thousands, a space beside the unit."""

# A number may go on behind such a mark.
_NO_NUMBER_BEFORE: Final = r"(?<!\d[.,:/-])"
_NO_NUMBER_BEHIND: Final = r"(?![.,:/-]\d)"

_INSIDE: Final = regex.compile(r"(?<=[\p{L}\d,;] )\p{L}[\p{L}\p{M}'\u2019-]*")
CAPITALS_CHARS: Final = 4_000
LEAST_WORDS: Final = 5
MANY_CAPITALS: Final = 0.15
"""Where more of the words inside sentences have capitals, the language writes its nouns so, as German does."""

# Words that begin sentences or have capitals, and are no names.
_COMMON: Final = frozenset(
    """a an and are as at be but by can could did do does for from had has have he hello hey hi how i i'd i'll i'm i've
    if in is it it's its just let let's me my no not now of ok okay on or our please she so thank thanks that the their
    then there these they this those to was we were what when where which who why will with would yes you your""".split()  # noqa: SIM905
)


class Word(NamedTuple):
    """A distinctive word or group of words, its place in the message, and its weight.

    More weight means more important.
    """

    text: str
    begin: int
    end: int
    weight: int


def words_in(text: str) -> list[Word]:
    """The distinctive words of a text, in order. A capital at the beginning of a sentence makes no name."""
    found: list[Word] = []
    names_count = not _has_many_capitals(text)
    for match in _DISTINCTIVE.finditer(text):
        kind, begin, value = str(match.lastgroup), match.start(), match.group()
        if kind == "name":
            if _begins_sentence(text, begin):
                first, _, rest = value.partition(" ")
                if not rest or first.casefold() in _COMMON:
                    begin, value = begin + len(first) + 1, rest
            if value.casefold() in _COMMON:
                continue
        value = value.rstrip(".,;:!?") if kind == "address" else value
        if value.strip(_EDGES) and len(value) <= MAX_WORD_CHARS:
            is_weak = (value.isdecimal() and len(value) <= SMALL_DIGITS) or (kind == "name" and not names_count)
            weight = WEAK if is_weak else _WEIGHTS[kind]
            found.append(Word(value, begin, begin + len(value), weight))
    if len(found) > MAX_WORDS:
        heaviest = sorted(found, key=lambda word: -word.weight)[:MAX_WORDS]
        found = sorted(heaviest, key=lambda word: word.begin)
    return found


def _begins_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \t*_>#-\"“'(")
    return not before or before[-1] in ".!?:\n"


def _has_many_capitals(text: str) -> bool:
    """Whether so many words inside sentences have capitals that a capital says nothing."""
    inside = _INSIDE.findall(text[:CAPITALS_CHARS])
    return len(inside) >= LEAST_WORDS and sum(word[0].isupper() for word in inside) > MANY_CAPITALS * len(inside)


def covers(plain_text: str, word: str) -> bool:
    """Whether a plain text (see `plain`) has a word, as a whole: 7.5 has no 5, and 14:30 has no 30.

    Differences in capitals and in the form of numbers do not matter.
    """
    value = plain(word)
    if not value:
        return True
    if value not in plain_text:
        return False
    front = _NO_NUMBER_BEFORE if value[:1].isdecimal() else ""
    back = _NO_NUMBER_BEHIND if value[-1:].isdecimal() else ""
    edge = r"[\p{Latin}\p{Cyrillic}\p{Greek}\d_]"
    return regex.search(rf"(?<!{edge}){front}{regex.escape(value)}(?!{edge}){back}", plain_text) is not None


def plain(text: str) -> str:
    """A text in the form in which texts are compared: without capitals, and with one form for each number."""
    return _IN_NUMBERS.sub("", text.casefold()).strip(_EDGES)


def sentences_with(text: str, words: Sequence[Word]) -> list[str]:
    """The sentences of a text that have these words, in order, at most MAX_PER_MESSAGE: those with the most weight.

    None is longer than FACT_MAX_CHARS.
    """
    weighed: list[tuple[int, int, str]] = []
    for begin, end in sentences_in(text):
        inside = [word for word in words if begin <= word.begin and word.end <= end]
        # A quotation may contain the end of a sentence. Then no sentence has the whole word; the loop below adds it.
        for excerpt, weight in _excerpts(text, begin, end, inside):
            weighed.append((weight, len(weighed), excerpt))
    told = plain("\n".join(excerpt for _, _, excerpt in weighed))
    for word in words:
        if not covers(told, word.text):
            weighed.append((word.weight, len(weighed), one_line(text[word.begin : word.end])))
    kept = sorted(weighed, key=lambda item: (-item[0], item[1]))[:MAX_PER_MESSAGE]
    return [excerpt for _, _, excerpt in sorted(kept, key=lambda item: item[1])]


def sentences_in(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text begin and end. The full stop of "Dr. Wexford" ends none."""
    begin = end = 0
    for match in _SENTENCE.finditer(text):
        if begin == end:
            begin = match.start()
        end = match.end()
        is_abbreviated = _ABBREVIATION.search(text, max(begin, end - LONGEST_ABBREVIATION), end) is not None
        if not (is_abbreviated and text[end : end + 1] == " "):
            yield begin, end
            begin = end
    if begin < end:
        yield begin, end


def _excerpts(text: str, begin: int, end: int, words: Sequence[Word]) -> Iterable[tuple[str, int]]:
    """Pieces of a sentence with all of its words, each with its weight, none longer than FACT_MAX_CHARS."""
    rest = list(words)
    while rest:
        start = begin if end - begin <= FACT_MAX_CHARS else max(begin, rest[0].begin - MARGIN)
        stop = min(end, start + FACT_MAX_CHARS)
        inside = [word for word in rest if word.end <= stop]
        if stop < end and inside:
            stop = max(inside[-1].end, text.rfind(" ", start, stop))
        yield one_line(text[start:stop]), sum(word.weight for word in inside)
        rest = rest[max(1, len(inside)) :]


def one_line(text: str) -> str:
    """The text on one line, cut to FACT_MAX_CHARS."""
    return " ".join(text.split())[:FACT_MAX_CHARS]
