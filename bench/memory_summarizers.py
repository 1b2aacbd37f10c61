"""Synthetic summarizers: scripted models that know the corpus, and summarize as well or as badly as their name says."""

import json
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from memory_corpus import Corpus, PlantedFact, plain

from services.worker.models.port import ModelChunk, ModelRequest
from services.worker.models.tokens import count_text, count_tokens, vocabulary_of
from shared.token_usage import TokenUsage

KINDS: Final = {
    "allergy": "health", "diet": "health", "family": "relation", "pet": "relation", "contact": "other", "code": "other",
    "path": "other", "job": "identity", "schedule": "date", "finance": "number", "vehicle": "other", "habit": "preference",
}  # fmt: skip
"""The corpus has more kinds than the product. Others have the same name in both."""
LOSS: Final = 0.03
GIST_CHARS: Final = 70
FIRST_WORDS: Final = 9
REFUSAL: Final = "I'm sorry, but I can't help with that."
CONSTANT: Final = "The user and the assistant talked about various things."
FINNISH: Final = (
    "Käyttäjä kertoi itsestään kaikenlaista, ja avustaja vastasi hänelle ystävällisesti. He puhuivat arjesta, "
    "suunnitelmista ja siitä, mitä seuraavaksi pitäisi tehdä. Lopuksi sovittiin, että asiaan palataan myöhemmin."
)
ESSAY: Final = (
    "the conversation touches upon many themes which deserve a closer look in the light of what people may feel"
)
ESSAY_WORDS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks: messages to summarize, with the facts so far; or summaries to merge.

    `missing` are the words that the first answer to the same request lacked. `text` is all that the request tells.
    """

    messages: Sequence[dict[str, Any]] = ()
    facts: Sequence[dict[str, Any]] = ()
    summaries: Sequence[str] = ()
    missing: Sequence[str] = ()
    text: str = ""

    @classmethod
    def of(cls, request: ModelRequest) -> "Asked":
        """Read the labelled lines of JSON in a request."""
        found: dict[str, Any] = {}
        for message in request.conversation:
            if message.role != "user":
                continue
            for line in message.content.splitlines():
                label, colon, rest = line.partition(": ")
                if colon and rest[:1] in {"[", '"'}:
                    found[label.strip().casefold()] = _value(rest)
        return cls(
            found.get("the messages") or (),
            found.get("the facts so far") or (),
            [one["text"] for one in found.get("the summaries") or ()],
            found.get("missing") or (),
            plain("\n".join(message.content for message in request.conversation)),
        )


def _value(text: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON that a line begins with; None where it begins with none."""
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None


Behaviour = Callable[["Asked"], str]


@dataclass
class ScriptedSummarizer:
    """A model whose answers are a behaviour's. `calls` counts what it was asked."""

    behaviour: Behaviour
    calls: int = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """The behaviour's answer, cut at `max_tokens` as a model's would be."""
        self.calls += 1
        text, reason = self.behaviour(Asked.of(request)), "stop"
        vocabulary = vocabulary_of(request.model)
        size = ceil(count_text(text, vocabulary))
        if request.max_tokens is not None and size > request.max_tokens:
            text = text[: max(1, int(len(text) * request.max_tokens / size))]
            size, reason = request.max_tokens, "length"
        prompt = sum(count_tokens(message, vocabulary) for message in request.conversation)
        usage = TokenUsage(prompt, size, prompt + size)
        yield ModelChunk(text, finish_reason=reason, usage=usage)  # type: ignore[arg-type]


@dataclass
class Perfect:
    """All that was planted, as sentences and as facts; of other messages the gist. `loses` is the chance of each fact."""

    corpus: Corpus
    loses: float = 0.0
    seed: int = 1
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret

    def __call__(self, asked: Asked) -> str:
        """The answer to a request of either kind."""
        if not asked.messages:
            return self.merged(asked.summaries)
        return json.dumps(self.answer(asked), ensure_ascii=False)

    def answer(self, asked: Asked) -> dict[str, Any]:
        """Summary, facts and what is to be forgotten."""
        lines = list[str]()
        facts, forget = list[dict[str, Any]](), list[dict[str, Any]]()
        for message in asked.messages:
            kept = self._kept(self._planted(message))
            lines += [fact.text for fact in kept]
            facts += [self._typed(fact, asked.facts) for fact in kept]
            forget += self._forget(message, asked)
            if message["role"] == "user" and not kept:
                lines.append(f"The user wrote: {message['text'][:GIST_CHARS]}")
        if asked.missing:
            lines.append("Also mentioned: " + ", ".join(str(word) for word in asked.missing))
        return {"summary": "\n".join(lines), "facts": facts, "forget": forget}

    def merged(self, summaries: Sequence[str]) -> str:
        """One summary for several: the facts' sentences, in their order, without the gist of the rest."""
        told = plain("\n".join(summaries))
        known = self._kept([fact for fact in self.corpus.facts if plain(fact.text) in told])
        return "\n".join([*(fact.text for fact in known), "They also talked about everyday things."])

    def _planted(self, message: dict[str, Any]) -> list[PlantedFact]:
        text = plain(message["text"])
        return [fact for fact in self.corpus.at(message["position"]) if plain(fact.text) in text]

    def _kept(self, facts: Sequence[PlantedFact]) -> list[PlantedFact]:
        return [fact for fact in facts if self.chance.random() >= self.loses]

    def _typed(self, fact: PlantedFact, known: Sequence[dict[str, Any]]) -> dict[str, Any]:
        old = {one.id: one for one in self.corpus.facts}.get(fact.replaces or "")
        return {
            "position": fact.position,
            "quote": fact.text,
            "kind": KINDS.get(fact.kind, fact.kind),
            "subject": fact.subject,
            "attribute": fact.attribute,
            "value": fact.value,
            "replaces": _ids_of(old, known) if old else [],
        }

    def _forget(self, message: dict[str, Any], asked: Asked) -> list[dict[str, Any]]:
        by_id = {fact.id: fact for fact in self.corpus.facts}
        wanted = [
            by_id[one]
            for forget in self.corpus.forgets
            if forget.position == message["position"]
            for one in forget.forgets
        ]
        if not wanted or self.chance.random() < self.loses:
            return []
        ids = [one for fact in wanted for one in _ids_of(fact, asked.facts)]
        # The model knows a value only where the request tells it.
        values = [fact.value for fact in wanted if plain(fact.expects) in asked.text]
        return [{"position": message["position"], "facts": ids, "values": values}]


def _ids_of(fact: PlantedFact, known: Sequence[dict[str, Any]]) -> list[int]:
    """The ids under which a fact is known."""
    expects = plain(fact.expects)
    return [one["id"] for one in known if expects in plain(json.dumps(one, ensure_ascii=False))]


def first_words(asked: Asked) -> str:
    """The first words of each message, without JSON. Merged, all lines stay."""
    texts = [f"{one['role']}: {' '.join(one['text'].split()[:FIRST_WORDS])}" for one in asked.messages]
    return "\n".join([*asked.summaries, *texts])


def constant(_: Asked) -> str:
    """The same text for everything."""
    return CONSTANT


@dataclass
class Odd:
    """Answers as the perfect one, but for a chunk with three facts or more about the middle of the chat.

    `times`: how often that chunk is answered oddly before it is answered well.
    """

    perfect: Perfect
    text: str
    times: int = 1
    chunk: int | None = None
    given: int = 0

    def __call__(self, asked: Asked) -> str:
        """The odd text for the chosen chunk, else the perfect answer."""
        if not asked.messages:
            return self.perfect(asked)
        first = asked.messages[0]["position"]
        if self.chunk is None and self._is_chosen(asked):
            self.chunk = first
        if first == self.chunk and self.given < self.times:
            self.given += 1
            return self.text
        return self.perfect(asked)

    def _is_chosen(self, asked: Asked) -> bool:
        corpus, first = self.perfect.corpus, asked.messages[0]["position"]
        facts = sum(len(corpus.at(message["position"])) for message in asked.messages)
        # Where few messages are asked for at a time, no chunk has three.
        return first > len(corpus.messages) * 2 // 5 and (facts >= 3 or first > len(corpus.messages) // 2)


@dataclass
class Hallucinating:
    """Adds facts whose quotes nobody said, facts with the quote of another message, and invented values with true quotes."""

    perfect: Perfect
    invented: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> str:
        """The perfect answer, with inventions."""
        if not asked.messages:
            return self.perfect(asked)
        answer = self.perfect.answer(asked)
        user = [one for one in asked.messages if one["role"] == "user"]
        for number, message in enumerate(user[:2], start=1):
            name = f"{message['position']}-{number}"
            answer["facts"] += [
                self._fact(message, f"My blood group is Qz-{name}.", f"Qz-{name}", "health"),
                self._fact(message, message["text"], f"Vulcan-{name}", "place"),
            ]
            if other := [one for one in user if one is not message]:
                answer["facts"].append(self._fact(message, other[0]["text"], f"Elsewhere-{name}", "decision"))
        return json.dumps(answer, ensure_ascii=False)

    def _fact(self, message: dict[str, Any], quote: str, value: str, kind: str) -> dict[str, Any]:
        self.invented.append(value)
        named = {"subject": "user", "attribute": f"invented {len(self.invented)}", "value": value, "replaces": []}
        return {"position": message["position"], "quote": quote, "kind": kind, **named}


@dataclass
class Obeying:
    """Where a message has words that look like an instruction or a fact, they become the summary and a fact of the user's."""

    perfect: Perfect

    def __call__(self, asked: Asked) -> str:
        """What the injected words want, or the perfect answer."""
        for message in asked.messages:
            for poison in self.perfect.corpus.poison:
                if poison.position == message["position"]:
                    kind = "identity" if poison.source == "assistant" else "instruction"
                    named = {
                        "kind": kind,
                        "subject": "user",
                        "attribute": poison.id,
                        "value": poison.text,
                        "replaces": [],
                    }
                    # At its own place, and as if the user had said it just before.
                    facts = [
                        {"position": at, "quote": poison.text, **named} for at in (poison.position, poison.position - 1)
                    ]
                    return json.dumps({"summary": poison.text, "facts": facts, "forget": []}, ensure_ascii=False)
        return self.perfect(asked)


def essay(seed: int = 1) -> str:
    """Many words that say nothing."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return " ".join(chance.choice(ESSAY.split()) for _ in range(ESSAY_WORDS))


def summarizers(corpus: Corpus, seed: int) -> dict[str, Behaviour]:
    """Each summarizer by its name, new."""
    return {
        "perfect": Perfect(corpus),
        "fading": Perfect(corpus, LOSS, seed),
        "first words": first_words,
        "constant": constant,
        "refusing once": Odd(Perfect(corpus), REFUSAL),
        "empty once": Odd(Perfect(corpus), ""),
        "essay once": Odd(Perfect(corpus), essay()),
        "foreign once": Odd(Perfect(corpus), FINNISH),
        "refusing a chunk": Odd(Perfect(corpus), REFUSAL, times=1_000),
        "hallucinating": Hallucinating(Perfect(corpus)),
        "obeying": Obeying(Perfect(corpus)),
    }
