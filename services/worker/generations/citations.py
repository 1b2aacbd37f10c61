"""Citations by number, such as [3]: which of them name no source of the answer. Pure.

A number counts the answer's sources from 1, in the order of their frames.
"""

import re
from typing import Final

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


def without_source(text: str, sources: int) -> list[int]:
    """The numbers that a text cites and that no source has, each once, in ascending order.

    `sources` is how many sources the answer has. Code is not looked at, and a number that the text itself defines, as in
    `[3]: https://…`, has a source.
    """
    prose = _NEIGHBOURS.sub(r"\1 ", _INDEX.sub(" ", _CODE.sub(" ", text)))
    defined = {int(number) for number in _DEFINED.findall(prose)}
    cited: set[int] = set()
    for found in _CITATION.finditer(prose):
        numbers = [int(number) for number in re.findall(r"[0-9]+", found["numbers"] or found["number"])]
        if 0 not in numbers:  # [0, 1] is an interval
            cited.update(numbers)
    return sorted(number for number in cited - defined if number > sources)
