"""What people see of a text: whether they see anything at all, what is hidden, a title on one line, where to cut a text.

What people take for one character may be many code points: a flag, a family, a letter with its accents. Unicode calls it a
grapheme cluster (https://unicode.org/reports/tr29/).
"""

from typing import Final

import regex

ELLIPSIS: Final = "…"
TITLE_READ_CHARS: Final = 1_000
"""A title is made of so many characters at most, from the first that people see."""

# The last two are no characters that Unicode calls invisible, but nobody sees them: a braille cell without dots, and a note
# without a head.
_INVISIBLE: Final = (
    r"[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}"
    r"[\p{Cf}--\p{Prepended_Concatenation_Mark}]\u2800\U0001d159]"
)
_BLANK: Final = regex.compile(rf"{_INVISIBLE}*", regex.V1)
_BLANK_BEGINNING: Final = regex.compile(rf"\A{_INVISIBLE}+", regex.V1)

# Of controls and format characters, some turn the text around them, also text that stands behind them, and others can hide
# words: models read the words, people do not see them. What spelling needs may stay: joiners, marks of direction, the tags
# of a flag, and the selector of a Han character's variant. A run of tags is matched whole, and so decided once: to look back
# from each tag would take quadratic time.
_HIDDEN: Final = regex.compile(
    r"(?<flag>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)"
    r"|(?<=\p{Han})(?<variant>[\U000e0100-\U000e01ef])"
    r"|[\U000e0000-\U000e007f]+"
    r"|[\U000e0100-\U000e01ef]+"
    r"|[[\p{Cc}\p{Cf}\p{Noncharacter_Code_Point}]"
    r"--[\t\n\p{Prepended_Concatenation_Mark}\u061c\u200c-\u200f\U000e0000-\U000e007f]]+",
    regex.V1,
)
_CLUSTER: Final = regex.compile(r"\X")


def is_blank(text: str) -> bool:
    """Whether people see nothing of a text: it has only spaces, controls and characters without a shape."""
    return _BLANK.fullmatch(text) is not None


def cut(text: str, limit: int) -> str:
    """The beginning of a text in at most `limit` code points. It ends where one character ends, as people count them.

    A single character of more code points than that is cut all the same.
    """
    if len(text) <= limit:
        return text
    end = 0
    # One cluster that is longer than the limit must not make a long search.
    for cluster in _CLUSTER.finditer(text[: limit + 1]):
        if cluster.end() > limit:
            break
        end = cluster.end()
    return text[: end or limit]


def without_hidden(text: str) -> str:
    """A text without what people do not see and models read, and without what turns the text around it.

    Line feeds, tabs, and what spelling needs stay.
    """
    return _HIDDEN.sub(lambda found: found["flag"] or found["variant"] or "", text)


def as_title(text: str) -> str:
    """A text as a title: on one line, without what turns or hides text. It is empty where people would see nothing."""
    shown = without_hidden(" ".join(text.split()))
    return _BLANK_BEGINNING.sub("", " ".join(shown.split()))


def short_title(text: str, limit: int, *, whole_words: bool = False) -> str:
    """The title that a text makes, in at most `limit` code points. A title that is cut ends with an ellipsis.

    With `whole_words`, it is cut between words where it has more than one.
    """
    blank = _BLANK_BEGINNING.match(text)
    begin = blank.end() if blank else 0
    title = as_title(text[begin : begin + TITLE_READ_CHARS])
    if len(title) <= limit:
        return title
    beginning = cut(title, limit - 1)
    if whole_words:
        beginning = beginning.rpartition(" ")[0] or beginning
    return beginning.rstrip() + ELLIPSIS
