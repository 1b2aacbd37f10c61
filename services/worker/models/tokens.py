"""How many tokens a text takes, counted by its scripts: no model's own vocabulary is at hand, and a rough count has to do.

A vocabulary's size decides most. Where it is small, it has words of English and little else: a letter of another script
takes a token, or two. `tests/unit/test_tokens.py` checks the count against real vocabularies of both sizes, and says how
far it may be off for each script. It is made to be rather too high than too low.
"""

import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Final

from services.worker.models.port import ModelMessage

TOKENS_PER_MESSAGE: Final = 4
"""What a chat template adds to each message: its role, its beginning and its end."""
CUT_STEP: Final = 256
"""Characters that are counted at once where a text is cut."""


def _pieces(letters: int) -> "re.Pattern[str]":
    """Each match is about one token: some letters, a digit, two marks, a run of one mark, blanks that stand for themselves.

    A blank in front of a word belongs to the word. No repetition is without a bound, and none stands inside another, so
    the time grows with the length only.
    """
    return re.compile(
        rf"[A-Z]?[a-z]{{1,{letters}}}|[A-Z]{{1,3}}|[0-9]| (?=[0-9])"
        r"|={3,16}|-{3,16}|\.{3,8}|\*{3,8}|_{3,8}|#{2,6}"
        r"|[!-/:-@\[-`{-~]{1,2}|[\r\n]{1,2}| {2,16}|\t{1,3}|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
        re.ASCII,
    )


# Pairs of letters that stand next to each other. Each of these is fewer than one of 10,000 pairs of English texts, and all
# together are one of 200; of random letters, nearly every other pair is one of these. They do not overlap where they are
# counted, which is quicker.
_UNLIKELY: Final = re.compile(
    "a[aehjoq]|b[bfghkmnpqtvwxz]|c[bdfgjmnqvxz]|d[cfhjkpqvwxz]|e[jk]|f[bcdghjkmnpqsvwxz]|g[bdfjkpqtvwxyz]"
    "|h[bcdfghjknpqvwxz]|i[hjquwy]|j[bcdfghijklmnpqrtvwxyz]|k[bcfghjkmpqrtuvwxyz]|l[ghjmnqrwxz]|m[cfhjknrtvwxz]"
    "|n[bjqrwxz]|oy|p[bfjknqvwz]|q[abcdefghijkmnopqrstvwxyz]|r[bhqxz]|s[bdfgjrxz]|t[bgjknqv]|u[hjkquwyz]"
    "|v[bcdfhjklmnpqrstuvwxz]|w[bdfgjklmpqtuvwxyz]|x[bdfgjkmnoqrsuvwz]|y[bfghjkqruvxyz]|z[bcdfghjklmnpqrstuvwxyz]"
)


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """How a kind of vocabulary cuts texts: the pieces of ASCII text, and the tokens of a character of each other script.

    `foreign` are the pieces of texts with marked Latin letters, which are not in English. `unlikely` are the tokens that a
    pair of letters adds which hardly any word has: keys, hashes and other letters that are no words take more pieces.
    `rare_han` is for characters that few texts have, `other` for each byte, in UTF-8, of characters that no word has.
    """

    english: "re.Pattern[str]"
    foreign: "re.Pattern[str]"
    unlikely: float
    latin: float
    vietnamese: float
    cyrillic: float
    greek: float
    hebrew: float
    arabic: float
    devanagari: float
    indic: float
    thai: float
    chinese: float
    rare_han: float
    kana: float
    hangul: float
    emoji: float
    symbols: float
    georgian: float
    other: float


SMALL: Final = Vocabulary(
    english=_pieces(4), foreign=_pieces(2), unlikely=1.1,
    latin=0.8, vietnamese=2.1, cyrillic=0.9, greek=0.97, hebrew=1.35, arabic=1.14, devanagari=1.28, indic=1.9, thai=1.93,
    chinese=2.0, rare_han=2.9, kana=1.85, hangul=2.9, emoji=2.8, symbols=1.8, georgian=2.15, other=1.0,
)  # fmt: skip
"""At most about 50,000 tokens, as SmolLM2 has. Taken for models that are not known."""
LARGE: Final = Vocabulary(
    english=_pieces(6), foreign=_pieces(4), unlikely=1.25,
    latin=0.75, vietnamese=0.35, cyrillic=0.48, greek=0.98, hebrew=1.25, arabic=0.52, devanagari=1.1, indic=1.5, thai=0.65,
    chinese=1.05, rare_han=2.15, kana=0.8, hangul=0.85, emoji=3.5, symbols=1.7, georgian=2.15, other=1.0,
)  # fmt: skip
"""From about 128,000 tokens, as gpt-oss, Llama 3, Qwen, Gemma and Mistral's newer models have."""

LARGE_FAMILIES: Final = ("openai/", "qwen/", "deepseek", "llama-3", "llama-4", "meta-llama/", "gemma", "moonshotai/")
"""How the names of models begin whose vocabulary is large."""

# The first and the last character of each script's blocks. What is in none is `other`: combining marks, signs of phonetics,
# scripts that few texts have, ancient ones, rare extensions of Han.
_BLOCKS: Final = (
    ("symbols", 0x0080, 0x00BF), ("latin", 0x00C0, 0x024F), ("greek", 0x0370, 0x03FF), ("cyrillic", 0x0400, 0x052F),
    ("georgian", 0x0530, 0x058F), ("hebrew", 0x0590, 0x05FF), ("arabic", 0x0600, 0x06FF), ("arabic", 0x0750, 0x077F),
    ("devanagari", 0x0900, 0x097F), ("indic", 0x0980, 0x0DFF), ("thai", 0x0E00, 0x0EFF), ("georgian", 0x10A0, 0x10FF),
    ("hangul", 0x1100, 0x11FF), ("georgian", 0x1780, 0x17FF), ("cyrillic", 0x1C80, 0x1C8F), ("vietnamese", 0x1E00, 0x1EFF),
    ("greek", 0x1F00, 0x1FFF), ("symbols", 0x2000, 0x25FF), ("emoji", 0x2600, 0x27BF), ("symbols", 0x27C0, 0x27FF),
    ("symbols", 0x2900, 0x2BFF), ("chinese", 0x3000, 0x303F), ("kana", 0x3040, 0x30FF), ("chinese", 0x3100, 0x312F),
    ("hangul", 0x3130, 0x318F), ("chinese", 0x3190, 0x33FF), ("chinese", 0x4E00, 0x9FFF), ("cyrillic", 0xA640, 0xA69F),
    ("hangul", 0xAC00, 0xD7AF), ("hebrew", 0xFB1D, 0xFB4F), ("arabic", 0xFB50, 0xFDFF), ("emoji", 0xFE00, 0xFE0F),
    ("arabic", 0xFE70, 0xFEFC), ("chinese", 0xFF00, 0xFFEF), ("emoji", 0x1D400, 0x1D7FF), ("emoji", 0x1F000, 0x1FAFF),
)  # fmt: skip
_HAN: Final = range(0x4E00, 0xA000)
_COMMON_HAN: Final = frozenset(
    bytes([first, second]).decode(encoding, "ignore")
    for encoding, firsts in (
        ("gb2312", range(0xB0, 0xD8)),
        ("big5", range(0xA4, 0xC9)),
        ("shift_jis", range(0x88, 0x99)),
    )
    for first in firsts
    for second in range(0x40, 0xFF)
)
"""The first levels of GB 2312, Big5 and JIS X 0208: the 7,000 characters with which nearly all texts are written."""
_FIRST: Final = [first for _, first, _ in _BLOCKS]
REMEMBERED_CHARS: Final = 12_000
REMEMBERED_TEXTS: Final = 512
"""Mostly short texts. All together have at most 6 million characters."""
MARKED_SHARE: Final = 150
"""A text of which one in so many characters is a marked Latin letter is wholly in another language than English."""


@lru_cache(maxsize=32_768)
def _script(character: str) -> str:
    """The name of a character's script, as `Vocabulary` has it."""
    code = ord(character)
    script, _, last = _BLOCKS[bisect_right(_FIRST, code) - 1]
    if code > last:
        return "other"
    return "rare_han" if code in _HAN and character not in _COMMON_HAN else script


def _tokens_of(character: str, script: str, vocabulary: Vocabulary) -> float:
    if script == "other":
        return vocabulary.other * len(character.encode("utf-8", "surrogatepass"))
    return float(getattr(vocabulary, script))


def count_text(text: str, vocabulary: Vocabulary) -> float:
    """About how many tokens a text takes. Not rounded, so that the counts of pieces add up."""
    unlikely = vocabulary.unlikely * len(_UNLIKELY.findall(text.lower()))
    if text.isascii():
        return len(vocabulary.english.findall(text)) + unlikely
    marked, tokens = 0, unlikely
    for character, times in Counter(text).items():
        if character > "\x7f":
            script = _script(character)
            tokens += times * _tokens_of(character, script, vocabulary)
            if script == "latin" or "\u0300" <= character <= "\u036f":
                marked += times
    english = len(vocabulary.english.findall(text))
    if not marked:
        return tokens + english
    # By degrees, since a text may quote another language, and pieces of a text have more or fewer marks than the whole.
    foreign = min(1.0, marked * MARKED_SHARE / len(text))
    return tokens + english + foreign * (len(vocabulary.foreign.findall(text)) - english)


def count_told(text: str, vocabulary: Vocabulary) -> float:
    """As `count_text`, for texts that are told again and again, such as segments, facts and messages: counts are remembered."""
    return (_remembered if len(text) <= REMEMBERED_CHARS else count_text)(text, vocabulary)


_remembered: Final = lru_cache(maxsize=REMEMBERED_TEXTS)(count_text)


def vocabulary_of(*models: str) -> Vocabulary:
    """The vocabulary by which a text for any of these models is counted: SMALL unless all are known to have a large one."""
    return LARGE if all(model.startswith(LARGE_FAMILIES) for model in models) else SMALL


def count_tokens(message: ModelMessage, vocabulary: Vocabulary) -> int:
    """About how many tokens a message takes, with its role and its tool calls."""
    tokens = count_told(message.content, vocabulary)
    for call in message.calls:
        tokens += count_text(f"{call.id} {call.name} {call.arguments or {}}", vocabulary) + TOKENS_PER_MESSAGE
    if message.call_id:
        tokens += count_text(message.call_id, vocabulary)
    return ceil(tokens) + TOKENS_PER_MESSAGE


def cut_text(text: str, max_tokens: float, vocabulary: Vocabulary) -> str:
    """The beginning of a text that takes at most about `max_tokens`; all of the text where it fits.

    The text is counted piece by piece up to the cut, so a long text is not counted as a whole.
    """
    left = max_tokens
    for begin in range(0, len(text), CUT_STEP):
        piece = text[begin : begin + CUT_STEP]
        tokens = count_text(piece, vocabulary)
        if tokens > left:
            return text[: begin + _fitting(piece, left, vocabulary)]
        left -= tokens
    return text


def _fitting(piece: str, max_tokens: float, vocabulary: Vocabulary) -> int:
    """How many of the piece's first characters fit, by halving."""
    fits, too_many = 0, len(piece)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count_text(piece[:middle], vocabulary) <= max_tokens:
            fits = middle
        else:
            too_many = middle
    return fits
