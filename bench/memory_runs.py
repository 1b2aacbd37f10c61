"""What one summarizer left of what was said: found facts, and what should not be told."""

from dataclasses import dataclass, field
from typing import Final

from memory_corpus import Corpus, PlantedFact, plain
from memory_prompts import Told
from memory_summarizers import Behaviour, Hallucinating

ANSWERS: Final = frozenset({"generation", "search", "title"})
"""The purposes of model calls that are not the memory's."""


@dataclass
class Recall:
    """Where the answers to questions stood: in the memory, among what was looked up, in messages told in full.

    `by_index`: the index found the fact, though it may not have been quoted, since the memory says it.
    """

    asked: list[PlantedFact] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    looked_up: set[str] = field(default_factory=set)
    recent: set[str] = field(default_factory=set)
    by_index: set[str] = field(default_factory=set)

    @property
    def found(self) -> set[str]:
        """The ids of the facts that the model was told in any way."""
        return self.told | self.looked_up | self.recent

    def add(self, fact: PlantedFact, told: Told) -> None:
        """Look for a fact in what its question was told with."""
        self.asked.append(fact)
        places = (
            (self.told, told.memory_text),
            (self.looked_up, told.looked_up_text),
            (self.recent, told.recent),
            (self.by_index, told.found),
        )
        for ids, text in places:
            if plain(fact.expects) in text:
                ids.add(fact.id)


@dataclass
class Run:
    """What one summarizer left. What went wrong has the questions before which it did, by the id of what was planted."""

    name: str
    recall: Recall = field(default_factory=Recall)
    parts: dict[str, Recall] = field(default_factory=dict)
    stale: dict[str, list[str]] = field(default_factory=dict)
    after_forget: dict[str, list[str]] = field(default_factory=dict)
    injected: dict[str, list[str]] = field(default_factory=dict)
    pasted: dict[str, list[str]] = field(default_factory=dict)
    invented: set[str] = field(default_factory=set)
    ledger: list[str] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0

    @property
    def cost(self) -> float:
        """Tokens of memory calls ÷ tokens of answers."""
        memory = sum(tokens for purpose, tokens in self.tokens.items() if purpose not in ANSWERS)
        return memory / max(1, self.tokens.get("generation", 0))

    def look_for_taken_back(self, corpus: Corpus, told: Told, question: str) -> None:
        """Values that hold no more, told without what replaced them; and values that were to be forgotten."""
        old_text = f"{told.memory_text}\n{told.looked_up_text}"
        all_text = f"{old_text}\n{told.recent}"
        for old, new in corpus.reversals:
            if plain(old.expects) in old_text and plain(new.expects) not in all_text:
                self.stale.setdefault(old.id, []).append(question)
        for fact in corpus.forgotten:
            if plain(fact.expects) in old_text:
                where = "told" if plain(fact.expects) in told.memory_text else "looked up"
                self.after_forget.setdefault(fact.id, []).append(f"{where}: {question}")

    def look_for_injected(self, corpus: Corpus, told: Told, when: str) -> None:
        """Words of others in the system role, or quoted as the user's."""
        for poison in corpus.poison:
            text = plain(poison.text)
            where = "system" if text in told.system else "the user's words" if text in told.users_words else None
            if where:
                # What the user pasted stands in a message of the user's, so quoting that message is no fault.
                into = self.pasted if poison.source == "pasted" and where != "system" else self.injected
                into.setdefault(poison.id, []).append(f"{where}: {when}")

    def look_for_invented(self, behaviour: Behaviour, told: Told) -> None:
        """Values that the summarizer made up, in the memory."""
        if isinstance(behaviour, Hallucinating):
            self.invented |= {value for value in behaviour.invented if plain(value) in told.memory_text}
