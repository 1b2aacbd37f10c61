"""Citations by number, such as [3]: which sources they name, and which of them name none. Pure.

A number counts the answer's sources from 1, in the order of their frames.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

_CODE: Final = re.compile(
    r"^[ ]{0,3}(?P<fence>`{3,}|~{3,}).*?(?:^[ ]{0,3}(?P=fence)[`~]*[ \t]*$|\Z)"  # a block between fences
    r"|(?<!`)(?P<ticks>`+)(?!`).{1,500}?(?<!`)(?P=ticks)(?!`)"
    r"|<(?P<element>code|pre|math)\b.*?(?:</(?P=element)>|\Z)"
    r"|\$\$.{1,500}?\$\$|\\\[(?:(?!\\\[).){1,500}?\\\]|\\\((?:(?!\\\().){1,500}?\\\)",
    re.DOTALL | re.MULTILINE,
)
_INDEX: Final = re.compile(r"(?<=[A-Za-z0-9_])(?:\[[^\[\]\n]{1,20}\])+")
"""What stands behind a word, as in a[3]."""
# What a bracket follows or precedes is a link's text or its label.
_CITATION: Final = re.compile(
    r"(?<![\w\]\)\\])\[\^?(?P<numbers>[0-9]{1,3}(?:\s?[,;\u2013-]\s?[0-9]{1,3}){0,20})\](?![\[(:])"
    r"|【(?P<number>[0-9]{1,3})(?:†[^】]{0,80})?】",
    re.ASCII,
)
# Several citations may stand behind each other: [1][2].
_NEIGHBOURS: Final = re.compile(r"(\[\^?[0-9]{1,3}\])(?=\[\^?[0-9]{1,3}\])", re.ASCII)
_DEFINED: Final = re.compile(r"^[ ]{0,3}\[\^?([0-9]{1,3})\]:", re.MULTILINE | re.ASCII)


class Citation(NamedTuple):
    """A citation in a text, from `begin` to `end`, and the numbers that it names."""

    begin: int
    end: int
    numbers: tuple[int, ...]


def without_source(text: str, sources: int) -> list[int]:
    """The numbers that a text cites and that no source has, each once, in ascending order.

    `sources` is how many sources the answer has. Code is not looked at, and a number that the text itself defines, as in
    `[3]: https://…`, has a source.
    """
    prose = _prose(text)
    defined = {int(number) for number in _DEFINED.findall(prose)}
    cited = {number for citation in _cited(prose) for number in citation.numbers}
    return sorted(number for number in cited - defined if number > sources)


def citations_of(text: str) -> list[Citation]:
    """The citations of a text, in their order."""
    return list(_cited(_prose(text)))


def _prose(text: str) -> str:
    """The text with blanks for what is no prose, so that each character stays where it is."""
    return _INDEX.sub(_blank, _CODE.sub(_blank, text))


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _cited(prose: str) -> Iterator[Citation]:
    # Between neighbours goes a space, which the places are told without.
    spaced = _NEIGHBOURS.sub(r"\1 ", prose)
    added = [found.end() + number for number, found in enumerate(_NEIGHBOURS.finditer(prose))]
    for found in _CITATION.finditer(spaced):
        numbers = tuple(int(number) for number in re.findall(r"[0-9]+", found["numbers"] or found["number"]))
        if 0 not in numbers:  # [0, 1] is an interval
            begin, end = (at - bisect_left(added, at) for at in found.span())
            yield Citation(begin, end, numbers)
