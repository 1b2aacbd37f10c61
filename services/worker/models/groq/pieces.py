"""The pieces that an answer's text comes apart into: text that is shown, and reasoning."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

Piece = tuple[bool, str]
"""Whether a text is reasoning, and the text."""


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces without empty ones, neighbours of one sort as one."""
    groups = groupby(filter(itemgetter(1), pieces), key=itemgetter(0))
    return [(is_reasoning, "".join(text for _, text in group)) for is_reasoning, group in groups]
