"""Facts out of what a model gave: only what stands word for word in its message is kept. Pure.

What the model missed is found by its look (distinctive.py) and kept as sentences without a kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import regex

from services.worker.look_up.terms import distinct_terms
from services.worker.summaries.distinctive import covers, plain, sentences_with, words_in
from services.worker.summaries.messages import SummarizedMessage
from services.worker.summaries.reversals import is_reversal, reversals_in
from shared.memory.facts import CHANGE, FACT_MAX_CHARS, KINDS, LABEL_MAX_CHARS, Fact, FactKind, Forgetting, NewFact
from shared.memory.masking import LEAST_MASKED, says
from shared.protocol.encoding import clean

MAX_FACTS: Final = 40
"""More facts of one answer are not read."""
MAX_VALUES: Final = 20
USERS_ALONE: Final = frozenset({"identity", "health", "preference", "instruction"})
"""Only the user says these of the user. An assistant's or a page's sentence of such a kind has no kind."""

ONE_OF_MANY: Final = frozenset({"health", "preference", "instruction", "relation"})
"""Of these kinds people have several: a second allergy replaces the first only where the model says so."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_LABEL: Final = regex.compile(r"[^\p{L}\p{N} _-]+")


def read_facts(
    given: object, messages: Sequence[SummarizedMessage], known: Sequence[Fact], forgotten: Sequence[Fact]
) -> list[NewFact]:
    """The facts among what a model gave whose quotes stand in the messages that they name. The others are dropped.

    `known` are facts that are not forgotten. A current one of the same subject and attribute is replaced by a later one of
    the user's, unless such facts may stand beside each other (ONE_OF_MANY). What is known already, and what a later fact has
    replaced already, is not read again. A value that was forgotten stays so, unless the user has said it since; then its
    tombstone holds no more.
    """
    by_position = {message.position: message for message in messages}
    current = [one for one in known if one.state == "current"]
    facts = list[NewFact]()
    for item in given[:MAX_FACTS] if isinstance(given, list) else ():
        fact = _read_fact(item, by_position) if isinstance(item, dict) else None
        if fact is None or is_forgotten(fact, forgotten) or _is_known(fact, [*known, *facts]):
            continue
        if fact.source != "user":
            facts.append(fact)
        elif not any(_place(one) > _place(fact) for one in _others_of_its_kind(fact, current)):
            earlier = {one.id: one for one in current if not one.is_pinned and _place(one) < _place(fact)}
            named = [*_ids(item.get("replaces")), *(one.id for one in _others_of_its_kind(fact, current))]
            replaces = [*(one for one in named if one in earlier), *said_again(fact, forgotten)]
            facts.append(replace(fact, replaces=tuple(dict.fromkeys(replaces))))
    return _newest_of_each(facts)


def _read_fact(item: Mapping[str, Any], messages: Mapping[int, SummarizedMessage]) -> NewFact | None:
    position, quote = _as_number(item.get("position")), item.get("quote")
    message = messages.get(position) if position is not None else None
    if message is None or not isinstance(quote, str):
        return None
    content = " ".join(message.content.split())
    found = _find(content, " ".join(quote.split()).strip(" \"'“”«»„…"))
    if not found:
        return None
    kind: FactKind = next((one for one in KINDS if one == item.get("kind")), "other")
    if message.source != "user" and kind in USERS_ALONE:
        kind = "other"
    value = item.get("value")
    value = _find(content, " ".join(value.split())) if isinstance(value, str) else ""
    return NewFact(
        message.position,
        message.id,
        kind,
        found[:FACT_MAX_CHARS],
        message.source,
        message.said_at,
        _label(item.get("subject")),
        _label(item.get("attribute")),
        value[:FACT_MAX_CHARS],
        found[:FACT_MAX_CHARS],
    )


def _find(content: str, wanted: str) -> str:
    """The words of the content that were quoted, whatever their case; empty where they don't stand there."""
    if not wanted:
        return ""
    if wanted in content:
        return wanted
    match = regex.search(regex.escape(wanted), content, regex.I)
    return match[0] if match else ""


def _label(text: object) -> str:
    """A subject or an attribute: a few plain words. It is no quotation, so it must not be able to say much."""
    return " ".join(_LABEL.sub(" ", text).split())[:LABEL_MAX_CHARS].strip() if isinstance(text, str) else ""


def _ids(given: object) -> list[int]:
    return [one for one in given if _as_number(one) is not None] if isinstance(given, list) else []


def _as_number(given: object) -> int | None:
    """A whole number; None for all else, such as true, which Python takes for 1."""
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _key(fact: Fact | NewFact) -> tuple[str, str] | None:
    """What a fact tells the value of; None where there may be several values, or nobody said."""
    if fact.kind in ONE_OF_MANY or not (fact.subject and fact.attribute):
        return None
    return fact.subject.casefold(), fact.attribute.casefold()


def _others_of_its_kind(fact: NewFact, current: Iterable[Fact]) -> list[Fact]:
    """The user's facts that say another value of the same attribute."""
    key = _key(fact)
    return [one for one in current if key and _key(one) == key and one.value.casefold() != fact.value.casefold()]


def _place(fact: Fact | NewFact) -> tuple[datetime, int]:
    """When something was said. Facts of other chats have positions of their own."""
    return fact.said_at or _LONG_AGO, fact.position or 0


def _newest_of_each(facts: Sequence[NewFact]) -> list[NewFact]:
    """The facts without those whose attribute a later one of the same answer gives another value, if both are the user's."""
    in_order = sorted(facts, key=lambda fact: fact.position or 0)
    last = {key: fact for fact in in_order if fact.source == "user" and (key := _key(fact))}
    return [
        fact
        for fact in facts
        if fact.source != "user" or not (key := _key(fact)) or (fact.position or 0) >= (last[key].position or 0)
    ]


def _is_known(fact: NewFact, known: Iterable[Fact | NewFact]) -> bool:
    """Whether the same words are a fact already, of the same message."""
    return any(_place(one) == _place(fact) and one.text.casefold() == fact.text.casefold() for one in known)


def is_forgotten(fact: NewFact, forgotten: Iterable[Fact]) -> bool:
    """Whether the user took back what the fact says, and has not said it since."""
    return any(_says(fact, one) for one in forgotten if not _place_after(fact, one))


def said_again(fact: NewFact, forgotten: Iterable[Fact]) -> list[int]:
    """The ids of the tombstones that hold no more, since the user says the value again after them."""
    return [one.id for one in forgotten if _place_after(fact, one) and _says(fact, one)]


def _place_after(fact: NewFact, forgotten: Fact) -> bool:
    return (fact.position or 0) > (forgotten.forgotten_position or 0)


def _says(fact: NewFact, forgotten: Fact) -> bool:
    """Whether a fact has the value that was forgotten, however a number in it is written."""
    return _has_value(f"{fact.text}\n{fact.value}", forgotten.taken_back)


def _has_value(text: str, value: str) -> bool:
    """As `says`. An empty value stands in no text."""
    return bool(value) and says(text, value)


def without_taken_back(facts: Iterable[NewFact], forgettings: Sequence[Forgetting]) -> list[NewFact]:
    """The facts without those that say what was taken back in the same message or a later one."""
    return [fact for fact in facts if not _is_taken_back(fact, forgettings)]


def _is_taken_back(fact: NewFact, forgettings: Sequence[Forgetting]) -> bool:
    said = f"{fact.text}\n{fact.value}"
    later = (one for one in forgettings if (fact.position or 0) <= one.position)
    return any(_has_value(said, value) for one in later for value in one.values)


def read_forgettings(
    given: object, messages: Sequence[SummarizedMessage], known: Sequence[Fact]
) -> tuple[list[Forgetting], list[int]]:
    """What the user took back, according to the model: in a message of the user's, and only what is known or was said.

    Returns the positions too at which the user took something back and the model did not say what.
    """
    positions = {message.position for message in messages if message.role == "user"}
    ids = {fact.id for fact in known}
    said = [one.content for one in messages if one.role == "user"] + [f"{one.text} {one.value}" for one in known]
    forgettings, unclear = list[Forgetting](), list[int]()
    for item in given[:MAX_VALUES] if isinstance(given, list) else ():
        position = _as_number(item.get("position")) if isinstance(item, dict) else None
        if not isinstance(item, dict) or position is None or position not in positions:
            continue
        values = item.get("values")
        kept = (
            [" ".join(clean(one).split()) for one in values if isinstance(one, str)] if isinstance(values, list) else []
        )
        kept = [value[:FACT_MAX_CHARS] for value in kept[:MAX_VALUES] if _was_said(value, said)]
        facts = tuple(one for one in _ids(item.get("facts")) if one in ids)
        if facts or kept:
            forgettings.append(Forgetting(position, facts, tuple(dict.fromkeys(kept))))
        else:
            unclear.append(position)
    return forgettings, unclear


def _was_said(value: str, said: Iterable[str]) -> bool:
    """Whether a value says something, and stands in what the user said or what is known. Stop words say nothing."""
    if len(value) < LEAST_MASKED or not distinct_terms(value):
        return False
    return any(says(text, value) for text in said)


def left_out(
    messages: Sequence[SummarizedMessage],
    told: str,
    facts: Sequence[NewFact],
    forgettings: Sequence[Forgetting],
    forgotten: Sequence[Fact],
) -> list[NewFact]:
    """The user's sentences with distinctive words that neither the summary nor a fact has, and those that change something.

    A sentence that changes something is kept unless a fact has it: a summary that has it may be merged later. Nothing is kept
    of a message that takes something back.
    """
    plain_told = plain("\n".join([told, *(fact.text for fact in facts)]))
    taken_back = {forgetting.position for forgetting in forgettings}
    kind: FactKind = "other"
    sentences = list[NewFact]()
    for message in messages:
        if message.role != "user" or message.position in taken_back:
            continue
        missing = [word for word in words_in(message.content) if not covers(plain_told, word.text)]
        changes = [one for one in reversals_in(message.content) if not _is_typed(one, message.position, facts)]
        for sentence in dict.fromkeys([*sentences_with(message.content, missing), *changes]):
            attribute = CHANGE if sentence in changes else ""
            fact = NewFact(
                message.position, message.id, kind, sentence, "user", message.said_at, "", attribute, quote=sentence
            )
            if not _is_taken_back(fact, forgettings) and not is_forgotten(fact, forgotten):
                sentences.append(replace(fact, replaces=tuple(said_again(fact, forgotten))))
    return sentences


def _is_typed(sentence: str, position: int, facts: Iterable[NewFact]) -> bool:
    """Whether one of the facts says most of a message's sentence, or that it changes something."""
    said = sentence.casefold()
    quotes = [fact.quote.casefold() for fact in facts if fact.position == position]
    inside = (quote for quote in quotes if quote and quote in said)
    return any(said in quote for quote in quotes) or any(
        2 * len(quote) >= len(said) or is_reversal(quote) for quote in inside
    )
