"""The corpus of bench/memory.py: a chat in which facts are planted, and what is asked about them. README.md has the format."""

import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CORPUS: Final = Path(__file__).with_name("memory_corpus.json")


class CorpusInvalid(Exception):
    """The corpus can't measure what it says."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message. `role` is "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class PlantedFact:
    """A sentence of the user's that has to be known later. `position` is its message's, from 1.

    `expects` has to stand in what the model is told when `question` is asked; a fact without a question is noise.
    `shares_word`: question and sentence have a word of content in common. `replaces` is the id of the fact that holds no
    more because of this one.
    """

    id: str
    kind: str
    language: str
    position: int
    text: str
    subject: str
    attribute: str
    value: str
    question: str | None = None
    shares_word: bool = True
    expects: str = ""
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class PlantedForget:
    """A message by which the user takes facts back. `forgets` are their ids."""

    id: str
    language: str
    position: int
    text: str
    forgets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Poison:
    """Words that look like the user's and are not.

    `source`: the assistant's guess ("assistant"), a web page that the assistant quotes ("page"), or one that the user
    pasted ("pasted"). `question` is what would be answered wrongly if the words were believed.
    """

    id: str
    source: str
    position: int
    text: str
    question: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A chat: user and assistant by turns, the user first."""

    name: str
    messages: tuple[Spoken, ...]
    facts: tuple[PlantedFact, ...]
    forgets: tuple[PlantedForget, ...] = ()
    poison: tuple[Poison, ...] = ()
    parts: tuple["Corpus", ...] = field(default=())

    @property
    def forgotten(self) -> list[PlantedFact]:
        """The facts that the user took back."""
        ids = {one for forget in self.forgets for one in forget.forgets}
        return [fact for fact in self.facts if fact.id in ids]

    @property
    def reversals(self) -> list[tuple[PlantedFact, PlantedFact]]:
        """(the fact that holds no more, the fact that holds)."""
        by_id = {fact.id: fact for fact in self.facts}
        return [(by_id[fact.replaces], fact) for fact in self.facts if fact.replaces]

    @property
    def asked(self) -> list[PlantedFact]:
        """The facts that hold at the end and are asked for."""
        over = {fact.id for fact in self.forgotten} | {old.id for old, _ in self.reversals}
        return [fact for fact in self.facts if fact.id not in over and fact.question]

    @property
    def distinct(self) -> list[tuple[int, str]]:
        """(position, compared text) of the messages whose text stands in no other: these are seen when they are missing."""
        texts = list(enumerate((plain(message.text) for message in self.messages), start=1))
        return [(at, text) for at, text in texts if not any(text in other for place, other in texts if place != at)]

    def at(self, position: int) -> list[PlantedFact]:
        """The facts that the message at this position says."""
        return [fact for fact in self.facts if fact.position == position]


def load_corpus(path: Path) -> Corpus:
    """The corpus in a file.

    Raises:
        CorpusInvalid: an expected value stands where nothing should tell it, or a fact is not in its message.

    """
    corpus = _read("corpus", json.loads(path.read_text("utf-8")))
    _check(corpus)
    for part in corpus.parts:
        _check(part)
    return corpus


def plain(text: str) -> str:
    """A text as texts are compared here: without capitals, compatible characters as one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _read(name: str, found: dict[str, Any]) -> Corpus:
    return Corpus(
        found.get("name", name),
        tuple(Spoken(**one) for one in found["messages"]),
        tuple(PlantedFact(**one) for one in found["facts"]),
        tuple(PlantedForget(**{**one, "forgets": tuple(one["forgets"])}) for one in found.get("forgets", ())),
        tuple(Poison(**one) for one in found.get("poison", ())),
        tuple(_read("part", one) for one in found.get("parts", ())),
    )


def _check(corpus: Corpus) -> None:
    """Whether each value is said by its own message alone, so that finding it means that this message is known."""
    roles = [message.role for message in corpus.messages]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise CorpusInvalid(f"{corpus.name}: user and assistant don't speak by turns")
    texts = [plain(message.text) for message in corpus.messages]
    for fact in corpus.facts:
        if plain(fact.text) not in texts[fact.position - 1] or roles[fact.position - 1] != "user":
            raise CorpusInvalid(f"{fact.id}: the user does not say this at {fact.position}")
    for fact in corpus.asked:
        expects = plain(fact.expects)
        if expects not in plain(fact.text) or expects in plain(fact.question or ""):
            raise CorpusInvalid(f"{fact.id}: the value is not in the fact, or is in the question")
        # The assistant may say a value again in its answer.
        elsewhere = [at for at, text in enumerate(texts, 1) if expects in text and at - fact.position not in {0, 1}]
        if elsewhere:
            raise CorpusInvalid(f"{fact.id}: the value stands at {elsewhere} too")
    told: list[PlantedForget | Poison] = [*corpus.forgets, *corpus.poison]
    for said in told:
        if plain(said.text) not in texts[said.position - 1]:
            raise CorpusInvalid(f"{said.id}: nobody says this at {said.position}")
