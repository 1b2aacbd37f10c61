"""Asking a model for segments: what of messages fits, the request, the checks, and one more request where a check failed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.worker import prompts
from services.worker.look_up.terms import distinct_terms
from services.worker.models.answer import Answer
from services.worker.models.capabilities import AnswerBounds, ModelCatalog, learn_context
from services.worker.models.port import ModelMessage, ModelRequest
from services.worker.models.tokens import Vocabulary, count_text, count_tokens, cut_text
from services.worker.summaries.checks import check, without_inventions
from services.worker.summaries.extracts import extract_of, shorter
from services.worker.summaries.facts import left_out, read_facts, read_forgettings, without_taken_back
from services.worker.summaries.messages import SummarizedMessage
from services.worker.summaries.model_answers import Given, read_answer
from shared.errors import ModelError, PromptTooLong, QuotaExceeded
from shared.memory.facts import Fact, Forgetting, NewFact
from shared.memory.segments import Segment, SegmentKind
from shared.visible_text import ELLIPSIS

MARGIN_TOKENS: Final = 64
LEAST_TOKENS: Final = 100
"""Of a message, so many tokens are summarized at least, however small the model's context is."""
KNOWN_TOKENS: Final = 300
"""So many tokens tell the model what is known already. What bears on the messages goes first."""
FACTS_TOKENS: Final = 500
"""Room for facts in an answer."""
THOUGHT_TOKENS: Final = 600
"""Room for what a model thinks before it answers, though it is asked to think little."""
MOST_HALVINGS: Final = 6
"""How often messages that are too long for the model are halved at once."""
ENGLISH_CHARS: Final = 4
"""Characters of a token of English."""
SAMPLE_CHARS: Final = 500
"""So many characters tell how many tokens a chat's language takes."""
MAX_NAMED: Final = 20
"""So many missing words are named when a model is asked again."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What becomes of messages: a text for them, and what they add to the facts. `kind` says who made the text.

    `unclear` are positions at which the user took something back and the model did not say what.
    """

    text: str
    kind: SegmentKind
    facts: list[NewFact] = field(default_factory=list)
    forgettings: list[Forgetting] = field(default_factory=list)
    unclear: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a chat's memory knows: its own facts, also replaced ones, those of other chats, and those that were forgotten."""

    facts: tuple[Fact, ...] = ()
    shared: tuple[Fact, ...] = ()
    forgotten: tuple[Fact, ...] = ()

    @property
    def current(self) -> list[Fact]:
        """The facts that hold, of this chat and of others."""
        return [fact for fact in (*self.facts, *self.shared) if fact.state == "current"]


@dataclass(frozen=True, slots=True)
class SummaryModel:
    """Asks a model for segments of at most `max_chars` characters. One is made for each job.

    `ask` asks a model within so many seconds, and notes what that took. `check_quota` is called with the tokens that a call
    may take; it raises QuotaExceeded. `until` is when all of it has to be over, by the event loop's clock.
    """

    ask: Callable[[ModelRequest, float], Awaitable[Answer]]
    models: ModelCatalog
    max_chars: int
    check_quota: Callable[[int], Awaitable[None]]
    until: float

    @property
    def is_fit(self) -> bool:
        """Whether the model is worth asking. A very small one is not."""
        return self.models.of(self.models.default).summarizes

    async def summarize(
        self, rows: Sequence[SummarizedMessage], known: Known, *, halvings: int = 0
    ) -> tuple[Sequence[SummarizedMessage], Draft]:
        """The first of the messages, as many as the model can read at once, and what becomes of them.

        What is too long for the model is halved and asked for again at once. After `halvings` it is halved from the start.

        Raises:
            ModelError: the model gave no answer, or none in time.
            QuotaExceeded: the user has no tokens left today.

        """
        for halved in range(halvings, halvings + MOST_HALVINGS):
            chunk = await asyncio.to_thread(self._fitting, rows, halved)
            said = [message for message in chunk if message.content]
            if not said:
                return chunk, Draft("", "summary")
            try:
                return chunk, await self._draft(said, known, self._room(halved))
            except PromptTooLong:
                continue
        # The model refuses even the shortest. One message must not keep all later messages out of the memory.
        return chunk, await asyncio.to_thread(extracted, said, known, self.max_chars)

    async def _draft(self, messages: Sequence[SummarizedMessage], known: Known, room: int) -> Draft:
        # Whatever reads all the text does so on a thread: there may be much.
        told = await asyncio.to_thread(self._known, messages, known)
        answer = await self._ask_for(messages, told, room, "")
        draft, missing = await asyncio.to_thread(self._judged, answer or "", messages, known, told)
        if draft.kind == "summary":
            return draft
        try:
            again = await self._ask_for(messages, told, room, prompts.summarize_again(missing[:MAX_NAMED]))
        except (ModelError, QuotaExceeded):
            return draft
        better, _ = await asyncio.to_thread(self._judged, again or "", messages, known, told)
        # Each fact stands in its message, so those of a summary that is of no use are good.
        facts = {(fact.position, fact.text.casefold()): fact for fact in [*draft.facts, *better.facts]}
        forgettings = better.forgettings or draft.forgettings
        return replace(better, facts=list(facts.values()), forgettings=forgettings)

    def _judged(
        self, answer: str, messages: Sequence[SummarizedMessage], known: Known, told: Sequence[Fact]
    ) -> tuple[Draft, Sequence[str]]:
        """What becomes of the messages by this answer, and the distinctive words that it lacks.

        Where its summary is of no use, an extract stands in its place. Its facts are good all the same: each stands in its
        message.
        """
        draft = _draft_of(read_answer(answer), messages, known, told)
        # Not what other chats have told: it is no part of this one.
        own = {fact.id for fact in known.facts}
        said = [message.content for message in messages] + [fact.text for fact in told if fact.id in own]
        by_user = [message.content for message in messages if message.role == "user"]
        besides = "\n".join([*(fact.text for fact in draft.facts), *(fact.text for fact in told)])
        verdict = check(draft.text, besides, said, by_user, self.max_chars)
        if verdict.is_good:
            text = shorter(without_inventions(draft.text, said), self.max_chars)
            draft = replace(draft, text=text)
        else:
            draft = replace(draft, text=extract_of(messages, self.max_chars), kind="extract")
        return _with_left_out(draft, messages, known), verdict.missing

    async def _ask_for(
        self, messages: Sequence[SummarizedMessage], told: Sequence[Fact], room: int, again: str
    ) -> str | None:
        vocabulary = self._bounds.vocabulary
        quoted = [(one.position, one.role, _shortened(one.content, room, vocabulary)) for one in messages]
        request = prompts.summary_request([(fact.id, fact.kind, fact.text) for fact in told], quoted, again)
        conversation = [ModelMessage("system", prompts.summarize(self.max_chars)), ModelMessage("user", request)]
        return await self._ask(conversation, messages[0].content, FACTS_TOKENS)

    async def merge(self, older: Segment, newer: Segment) -> Segment:
        """One segment for two that follow each other. Where the model's is of no use, it has the weightiest sentences of both.

        Raises:
            ModelError, QuotaExceeded: as `summarize` does.

        """
        both = [older.text, newer.text]
        request = prompts.merge_request([(one.first, one.last, one.text) for one in (older, newer)])
        conversation = [ModelMessage("system", prompts.merge(self.max_chars)), ModelMessage("user", request)]
        try:
            text = read_answer(await self._ask(conversation, older.text, 0) or "").summary
        except PromptTooLong:
            text = ""
        if not check(text, "", both, both, self.max_chars).is_good:
            return merged(older, newer, self.max_chars)
        return Segment(older.first or newer.first, newer.last, shorter(without_inventions(text, both), self.max_chars))

    async def _ask(self, conversation: list[ModelMessage], sample: str, besides: int) -> str | None:
        """The model's answer; None where it ended too early or was filtered."""
        vocabulary = self._bounds.vocabulary
        sent = sum(count_tokens(message, vocabulary) for message in conversation)
        most = self._max_tokens(sample, besides)
        await self.check_quota(sent + most)
        request = ModelRequest(self.models.default, conversation, max_tokens=most, is_brief=True)
        try:
            answer = await self.ask(request, self.until - asyncio.get_running_loop().time())
        except PromptTooLong as refusal:
            learn_context(refusal, self.models, self.models.default, sent)
            raise
        is_whole = answer.finish_reason not in {"content-filter", "length"}
        return answer.text if is_whole or answer.text.lstrip().startswith("{") else None

    @property
    def _bounds(self) -> AnswerBounds:
        return self.models.with_fallback(self.models.default)

    def _max_tokens(self, sample: str, besides: int) -> int:
        """The tokens that an answer in the language of the sample may take. The margin is for models that count otherwise."""
        sample = sample[:SAMPLE_CHARS]
        density = max(1 / ENGLISH_CHARS, count_text(sample, self._bounds.vocabulary) / max(1, len(sample)))
        wanted = int(self.max_chars * density) + besides + THOUGHT_TOKENS + MARGIN_TOKENS
        return min(self._bounds.max_output_tokens, wanted, self._bounds.context_tokens // 2)

    def _room(self, halvings: int) -> int:
        """The tokens that the quoted messages may take."""
        vocabulary = self._bounds.vocabulary
        empty = [
            ModelMessage("system", prompts.summarize(self.max_chars)),
            ModelMessage("user", prompts.summary_request([], [])),
        ]
        fixed = sum(count_tokens(message, vocabulary) for message in empty) + self._known_room + MARGIN_TOKENS
        return max(LEAST_TOKENS, (self._bounds.context_tokens - self._max_tokens("", FACTS_TOKENS) - fixed) >> halvings)

    @property
    def _known_room(self) -> int:
        return min(KNOWN_TOKENS, self._bounds.context_tokens // 8)

    def _fitting(self, rows: Sequence[SummarizedMessage], halvings: int) -> Sequence[SummarizedMessage]:
        """The first of the messages, as many as the model can read at once, but at least one."""
        left = float(self._room(halvings))
        for count, row in enumerate(rows):
            quoted = json.dumps(row.content, ensure_ascii=False)
            left -= count_text(quoted, self._bounds.vocabulary) + MARGIN_TOKENS // 4
            if left < 0 and count:
                return rows[:count]
        return rows

    def _known(self, messages: Sequence[SummarizedMessage], known: Known) -> list[Fact]:
        """The facts that the model is told: those that share words with the messages, then the newest with a kind."""
        terms: dict[str, float] = {}
        for message in messages:
            terms |= distinct_terms(message.content)

        def worth(fact: Fact) -> tuple[float, bool, int]:
            words = distinct_terms(f"{fact.text} {fact.attribute} {fact.value}")
            return sum(weight for term, weight in words.items() if term in terms), fact.is_typed, fact.position or 0

        told, left = list[Fact](), float(self._known_room)
        for fact in sorted(known.current, key=worth, reverse=True):
            left -= count_text(json.dumps(fact.text, ensure_ascii=False), self._bounds.vocabulary) + MARGIN_TOKENS // 4
            if left < 0:
                break
            told.append(fact)
        return sorted(told, key=lambda fact: fact.id)


def extracted(messages: Sequence[SummarizedMessage], known: Known, max_chars: int) -> Draft:
    """What becomes of messages without a model: their own sentences, and the sentences with distinctive words as facts."""
    return _with_left_out(Draft(extract_of(messages, max_chars), "extract"), messages, known)


def merged(older: Segment, newer: Segment, max_chars: int) -> Segment:
    """One segment for two, made without a model of their weightiest sentences."""
    text = shorter("\n".join(one.text for one in (older, newer) if one.text), max_chars)
    return Segment(
        older.first or newer.first, newer.last, text, "edited" if older.kind == newer.kind == "edited" else "extract"
    )


def _draft_of(given: Given, messages: Sequence[SummarizedMessage], known: Known, told: Sequence[Fact]) -> Draft:
    forgettings, unclear = read_forgettings(given.forget, messages, told)
    facts = read_facts(given.facts, messages, [*known.facts, *known.shared], known.forgotten)
    return Draft(given.summary, "summary", without_taken_back(facts, forgettings), forgettings, tuple(unclear))


def _with_left_out(draft: Draft, messages: Sequence[SummarizedMessage], known: Known) -> Draft:
    missing = left_out(messages, draft.text, draft.facts, draft.forgettings, known.forgotten)
    texts = {(fact.position, fact.text.casefold()) for fact in known.facts}
    new = [fact for fact in missing if (fact.position, fact.text.casefold()) not in texts]
    return replace(draft, facts=[*draft.facts, *new])


def _shortened(text: str, max_tokens: int, vocabulary: Vocabulary) -> str:
    """A message for the prompt. Where it is too long, its middle is left out; its distinctive words are found all the same."""
    if cut_text(text, max_tokens, vocabulary) == text:
        return text
    half = max_tokens / 2
    # The end is cut from its end on.
    return f"{cut_text(text, half, vocabulary)} {ELLIPSIS} {cut_text(text[::-1], half, vocabulary)[::-1]}"
