"""Terms: what of a text makes it found again. Case, width and compatibility forms do not matter. Pure.

A word gives itself and, as weaker terms, the word without diacritics and its stem. What has marks or digits inside (AB-12,
snake_case, a path, an e-mail address, a date) gives the whole and its pieces. Scripts that write no spaces give short runs of
characters. Stop words give nothing.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from services.worker.look_up.stop_words import STOP_CHARACTERS, STOP_PAIRS, STOP_WORDS

MAX_TERMS: Final = 600
"""Of a message. Of a longer one the first are taken: those with digits or marks, then the others, then single characters."""
MAX_WHOLE_CHARS: Final = 120
STEM_CHARS: Final = 6
LEAST_STEMMED: Final = 4
LEAST_STEM: Final = 3
THAI_RUN: Final = 3
"""Two characters of Thai and its like are a syllable at most, and stand in every text."""

WHOLE: Final = 1.0
BARE: Final = 0.8
PIECE: Final = 0.7
STEM: Final = 0.5
CHARACTER: Final = 0.25

# Scripts without spaces between words: kanji, kana, bopomofo; then Thai, Lao, Myanmar, Khmer and Tibetan.
_HAN: Final = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA: Final = "\u3040-\u309f\u30a0-\u30ff\u31f0-\u31ff\u3100-\u312f"
_THAI: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff"
_HANGUL: Final = re.compile("[\uac00-\ud7a3]{2,}")
_MARKS: Final = "._\\-/@:+#&=~\\\\"

# Letters with the marks that belong to them. \w has no combining marks, so those of Indian scripts would cut words.
_MARK: Final = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff"
_LETTER: Final = rf"[^\W{_HAN}{_KANA}{_THAI}_]|[{_MARK}]"
_RUN: Final = rf"(?:{_LETTER})+"
_TOKEN: Final = re.compile(
    rf"(?P<spaceless>[{_HAN}{_KANA}]+)|(?P<thai>[{_THAI}]+)"
    rf"|(?P<word>_{{0,2}}{_RUN}(?:(?:[{_MARKS}]{{1,3}}|(?<=\d),(?=\d)){_RUN})*)"
)
_PIECE: Final = re.compile(rf"\d+|(?:(?!\d)(?:{_LETTER}))+")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_IN_JOINED: Final = re.compile(rf"[{_MARKS},]+")
# Accents, Hebrew points and Arabic vowels: not the marks that are letters of their own, such as those of Indian scripts.
_DIACRITICS: Final = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c7\u064b-\u065f\u0670\u0640]+")
_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i", "ð": "d", "þ": "th"}
)
_ENDINGS: Final = ("ings", "ing", "ies", "ed", "es", "en", "er", "em", "'s", "s", "e", "n", "y")


class Term(NamedTuple):
    """A term, how much it counts beside the other terms of its word (above 0, at most 1), and its place.

    The place of a term of a word is where the word begins.
    """

    text: str
    weight: float
    at: int


def terms_in(text: str) -> Iterator[Term]:
    """The terms of a text in order; some come more than once.

    The place is a character of the text in NFKC (see `normalized`), which is not always the same one of the text itself.
    """
    for found in _TOKEN.finditer(normalized(text)):
        token, at = found[0], found.start()
        if found["spaceless"]:
            yield from _characters(token, at)
        elif found["thai"]:
            yield from (Term(run, PIECE, at + number) for number, run in enumerate(_runs(token, THAI_RUN)))
        else:
            yield from (Term(term, weight, at) for term, weight in _of_token(token))


def normalized(text: str) -> str:
    """The text in NFKC: one spelling for what looks and means the same, such as full-width letters."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def distinct_terms(text: str) -> dict[str, float]:
    """The text's terms, each with its greatest weight, at most MAX_TERMS."""
    plain: dict[str, float] = {}
    for term in terms_in(text):
        plain[term.text] = max(plain.get(term.text, 0.0), term.weight)
    if len(plain) <= MAX_TERMS:
        return plain
    special = [term for term in plain if not term.isalpha()]
    strong = [term for term, weight in plain.items() if weight > CHARACTER]
    kept = dict.fromkeys([*special, *strong, *plain])
    return {term: plain[term] for term in list(kept)[:MAX_TERMS]}


def _characters(run: str, at: int) -> Iterator[Term]:
    """Pairs of characters; single ones too, as weaker terms, for words that stand in other company. Not kana alone."""
    for number, character in enumerate(run):
        pair = run[number : number + 2]
        is_whole = len(pair) > 1 or len(run) == 1
        if is_whole and pair not in STOP_PAIRS and not STOP_CHARACTERS.issuperset(pair):
            yield Term(pair, PIECE, at + number)
        if character not in STOP_CHARACTERS and not "\u3040" <= character <= "\u30ff":
            yield Term(character, CHARACTER, at + number)


def _runs(text: str, length: int) -> list[str]:
    return [text[begin : begin + length] for begin in range(max(1, len(text) - length + 1))]


def _of_token(token: str) -> Iterator[tuple[str, float]]:
    """The terms of a word, or of words and numbers that marks join."""
    if len(token) <= MAX_WHOLE_CHARS and not token.isalpha():
        joined = _NOT_IN_JOINED.sub("", _without_case(token))
        whole = _without_case(token).strip("_")
        if whole != joined:
            yield whole, WHOLE
        if joined.isalnum() and not joined.isalpha():
            yield joined, WHOLE
    parts = _HUMP.split(token)
    bare = token.strip("_")
    if len(parts) > 1 and _PIECE.fullmatch(bare):
        yield _without_case(bare), WHOLE
    for part in parts:
        pieces = _PIECE.findall(part)
        is_alone = pieces == [token]
        for piece in pieces:
            if is_alone or len(piece) > 1:
                yield from _of_word(_without_case(piece), 1.0 if is_alone else PIECE)


def _without_case(text: str) -> str:
    """The text without capitals, in NFC: some letters, such as \u0390, fall apart when their case is folded."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def _of_word(word: str, share: float) -> Iterator[tuple[str, float]]:
    if word in STOP_WORDS or (len(word) == 1 and not word.isdecimal()):
        return
    yield word, share * WHOLE
    if word.isdecimal():
        return
    bare = without_diacritics(word)
    if bare != word:
        yield bare, share * BARE
    for stem in _stems(bare):
        yield stem, share * STEM
    for run in _HANGUL.findall(word):
        yield from ((pair, share * STEM) for pair in _runs(run, 2))


def without_diacritics(word: str) -> str:
    """A word of small letters without their marks, as people write in a hurry."""
    if word.isascii():
        return word
    bare = _DIACRITICS.sub("", unicodedata.normalize("NFD", word)).translate(_LETTERS)
    return unicodedata.normalize("NFC", bare)


def _stems(word: str) -> Iterator[str]:
    """The word without a common ending, cut to STEM_CHARS characters: nothing where that is the word itself.

    The same for all languages, and so no more than a hint: "booked" and "book" meet, "went" and "go" don't.
    """
    stem = word
    if word.startswith("\u0627\u0644") and len(word) > LEAST_STEMMED:  # Arabic's article is written with its word
        stem = word[2:]
        yield stem
    if len(stem) >= LEAST_STEMMED:
        for ending in _ENDINGS:
            if stem.endswith(ending) and len(stem) - len(ending) >= LEAST_STEM:
                stem = stem[: -len(ending)]
                break
    stem = stem[:STEM_CHARS]
    if len(stem) > LEAST_STEM and stem[-1] == stem[-2]:
        stem = stem[:-1]
    if stem != word:
        yield stem
