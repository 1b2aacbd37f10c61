"""Checks of what a model gave as a summary, before anything is saved. Pure.

A summary has to be about its messages, in their language, short, and with most of their distinctive words. Refusals, empty
and constant texts, essays and other languages fail by the same three questions, without a list of phrases.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import regex

from services.worker.look_up.terms import distinct_terms
from services.worker.summaries.distinctive import WEAK, covers, plain, sentences_in, words_in
from shared.visible_text import is_blank

LEAST_GROUNDED: Final = 0.25
"""Of a summary's words, this share at least stands in its messages."""
LEAST_ABOUT: Final = 0.5
"""Of what the user's messages say, the summary and its facts are about more than this share."""
ENOUGH: Final = 2.0
"""With so much of a message's own words, by weight, a summary is about the message. About two words."""
MUCH: Final = 4.0
"""A message with so much of its own words, by weight, counts fully. A shorter one counts less."""
LEAST_OWN: Final = 0.25
"""Where less of a message's words are its own, all of its words count: it says what others say."""
LEAST_KEPT: Final = 0.4
"""Of the distinctive words of the user's messages, this share at least is in the summary or in its facts."""
FEW_WORDS: Final = 3
"""So few distinctive words may all be missing: the sentences with them become facts."""
LISTING_WORDS: Final = 20
"""A message with more distinctive words is a table, a log or code. No summary has to have such words."""
LONGER: Final = 2.0
"""A summary that is so many times as long as was asked for is an essay. A shorter one is cut."""
INVENTED_DIGITS: Final = 3
"""A number of so many digits that stands in no message is invented. The model may count what is smaller."""
_DATE_OR_TIME: Final = regex.compile(r"\d{1,2}:\d{2}|\d{1,4}([./])\d{1,2}\1\d{1,4}")
"""What a model may write in another form than the message has it."""
_PARTS: Final = regex.compile("[.:/]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a summary may be saved, and the distinctive words that it lacks, the weightiest first."""

    is_good: bool
    missing: tuple[str, ...] = ()


def check(summary: str, told_besides: str, said: Sequence[str], by_user: Sequence[str], max_chars: int) -> Verdict:
    """Check the summary of messages.

    `said` are all texts that it is made of, `by_user` those of the user. `told_besides` are facts that are kept beside it.
    """
    told = f"{summary}\n{told_besides}"
    missing = missing_words(told, by_user)
    is_short = len(summary) <= LONGER * max_chars
    if is_blank(summary) or not is_short or not _is_grounded(summary, said) or not _is_about_most(told, by_user):
        return Verdict(is_good=False, missing=missing)
    return Verdict(is_good=not _lacks_most(told, by_user), missing=missing)


def missing_words(told: str, said: Iterable[str]) -> tuple[str, ...]:
    """The distinctive words of these texts that what is told lacks, each once, the weightiest first."""
    plain_told = plain(told)
    weights: dict[str, int] = {}
    words: dict[str, str] = {}
    for text in said:
        for word in words_in(text):
            if word.weight > WEAK and not covers(plain_told, word.text):
                words.setdefault(plain(word.text), word.text)
                weights[plain(word.text)] = word.weight
    return tuple(words[key] for key in sorted(words, key=lambda key: -weights[key]))


def _is_grounded(summary: str, said: Sequence[str]) -> bool:
    """Whether enough of the summary's words stand in the messages. A refusal has hardly any, another language neither."""
    terms = distinct_terms(summary)
    known: dict[str, float] = {}
    for text in said:
        known |= distinct_terms(text)
    shared = sum(weight for term, weight in terms.items() if term in known)
    return shared >= LEAST_GROUNDED * sum(terms.values())


def _is_about_most(told: str, by_user: Sequence[str]) -> bool:
    """Whether what is told is about most of the user's messages. One sentence of one message is no summary of ten.

    A message is known by the words that no other one has. In any script, a sentence of one message shares some pairs of
    characters with many others.
    """
    known = distinct_terms(told)
    said, earned = 0.0, 0.0
    for terms in _own_terms(by_user):
        value = min(MUCH, sum(terms.values()))
        shared = sum(weight for term, weight in terms.items() if term in known)
        said += value
        earned += min(value, shared * MUCH / ENOUGH)
    return earned > LEAST_ABOUT * said or not said


def _own_terms(texts: Sequence[str]) -> list[Mapping[str, float]]:
    """For each text, once, the terms that no other text has; all of its terms where it has hardly any of its own."""
    found = [distinct_terms(text) for text in dict.fromkeys(texts)]
    times = Counter(term for terms in found for term in terms)
    own = list[Mapping[str, float]]()
    for terms in found:
        alone = {term: weight for term, weight in terms.items() if times[term] == 1}
        own.append(alone if sum(alone.values()) >= LEAST_OWN * sum(terms.values()) else terms)
    return own


def _lacks_most(told: str, by_user: Sequence[str]) -> bool:
    """Whether most distinctive words of the user's messages are missing, where there are more than a few."""
    words = set[str]()
    for text in by_user:
        found = {plain(word.text) for word in words_in(text) if word.weight > WEAK}
        words |= found if len(found) <= LISTING_WORDS else set()
    plain_told = plain(told)
    missing = sum(not covers(plain_told, word) for word in words)
    return len(words) > FEW_WORDS and missing > (1 - LEAST_KEPT) * len(words)


def without_inventions(summary: str, said: Sequence[str]) -> str:
    """The summary without sentences that have a number, a code or an address that stands in none of the texts."""
    known = plain("\n".join(said))
    digits = "".join(character for character in known if character.isalnum())
    kept = list[str]()
    for begin, end in sentences_in(summary):
        sentence = summary[begin:end]
        if not any(_is_invented(word.text, known, digits) for word in words_in(sentence)):
            kept.append(sentence)
    return "".join(kept).strip() if len(kept) < sum(1 for _ in sentences_in(summary)) else summary


def _is_invented(word: str, known: str, digits: str) -> bool:
    if covers(known, word):
        return False
    parts = _PARTS.split(word) if _DATE_OR_TIME.fullmatch(word) else [word]
    return any(_is_new(part, digits) for part in parts)


def _is_new(word: str, digits: str) -> bool:
    number = "".join(character for character in plain(word) if character.isalnum())
    has_digits = sum(character.isdecimal() for character in number) >= INVENTED_DIGITS
    return (has_digits or "@" in word) and number not in digits
