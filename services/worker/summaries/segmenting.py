"""Making the segments of one claim: of new messages, of an extract that a model may better now, and of neighbours.

A model is asked first. What it can't do is done without it, so that messages never wait for long.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

from sqlalchemy import Update

from services.worker.look_up.port import HistoryIndex, Scope
from services.worker.summaries.facts import without_taken_back
from services.worker.summaries.messages import SummarizedMessage, messages_of_stretch, read_row
from services.worker.summaries.summary_model import Draft, Known, SummaryModel, extracted, merged
from services.worker.summaries.taken_back import nearest, requests_to_forget, taken_back
from shared.database.engine import Database
from shared.errors import ModelError, QuotaExceeded
from shared.memory import summaries
from shared.memory.chat_memory import ChatMemory
from shared.memory.facts import Fact, Forgetting
from shared.memory.segments import Segment
from shared.memory.summaries import MemoryChanges, SummaryClaim
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

EXTRACT_AFTER: Final = 5
"""After so many failures in a row, messages are extracted without the model."""
MAX_TAKEN_BACK: Final = 3
"""So many messages are looked up for what a request to forget is about."""
MAX_REQUESTS: Final = 5
"""So many requests to forget of one message are looked at."""
MAX_TRIES: Final = 3
"""So often a model is asked for something better than an extract."""


@dataclass(frozen=True, slots=True)
class Segmenting:
    """Makes the segments of one claim of a chat, whose `memory` was read with it. All have at most `max_chars` characters."""

    database: Database
    index: HistoryIndex
    model: SummaryModel
    claimed: SummaryClaim
    memory: ChatMemory
    max_chars: int

    async def make(
        self, rows: Sequence[SummarizedMessage], *, is_waited_for: bool
    ) -> tuple[Sequence[SummarizedMessage], MemoryChanges] | None:
        """Make a segment of the first of these messages. Returns them, and what is to be saved.

        None when it is tried again later; the messages are told in full until then. `is_waited_for`: an answer waits, so
        they are extracted without the model instead.
        """
        known = self._known()
        drafted = await self._draft(rows, known, is_waited_for=is_waited_for)
        if drafted is None:
            return None
        chunk, draft = drafted
        draft = await self._with_taken_back(chunk, draft, known)
        is_well = draft.kind == "summary"
        # An answer that waits gives the model too little time to say that it has failed.
        has_failed = self.claimed.failures >= EXTRACT_AFTER and not is_well and not is_waited_for
        # It begins behind the watermark, though the positions there may be those of messages that are replaced or deleted.
        new = Segment(self.claimed.watermark + 1, chunk[-1].position, draft.text, draft.kind)
        segments = await self._within_bounds([*self.memory.segments, new], is_well=is_well)
        failures = 0 if is_well else self.claimed.failures + has_failed
        return chunk, MemoryChanges(segments, draft.facts, draft.forgettings, failures)

    async def make_anew(self) -> MemoryChanges | None:
        """Have the model better the oldest extract. Returns what is to be saved.

        None where there is none to better, or where the user has no tokens left today: that is no try of the model.

        An extract that a model could not better MAX_TRIES times stays.
        """
        segments = list(self.memory.segments)
        at = next((at for at, one in enumerate(segments) if may_be_better(one)), None)
        if at is None or not self.model.is_fit:
            return None
        old = segments[at]
        segments[at] = Segment(old.first, old.last, old.text, old.kind, old.tries + 1)
        async with self.database.connect() as db:
            statement = messages_of_stretch(self.claimed.chat_id, old.first, old.last)
            rows = [read_row(row) for row in await db.execute(statement)]
        known = self._known()
        try:
            chunk, draft = await self.model.summarize(rows, known)
        except QuotaExceeded:
            return None
        except ModelError:
            return MemoryChanges(segments)
        draft = await self._with_taken_back(chunk, draft, known)
        if len(chunk) == len(rows) and draft.kind == "summary":
            segments[at] = Segment(old.first, old.last, draft.text)
        return MemoryChanges(segments, draft.facts, draft.forgettings)

    def _known(self) -> Known:
        forgotten = tuple(fact for fact in self.memory.facts if fact.state == "forgotten")
        facts = tuple(fact for fact in self.memory.facts if fact.state != "forgotten")
        return Known(facts, tuple(one.fact for one in self.memory.shared), forgotten)

    async def _draft(
        self, rows: Sequence[SummarizedMessage], known: Known, *, is_waited_for: bool
    ) -> tuple[Sequence[SummarizedMessage], Draft] | None:
        """What becomes of the messages; None when it is tried again later, with the messages told in full until then."""
        is_late = self.model.until <= asyncio.get_running_loop().time()
        if not self.model.is_fit or (is_waited_for and (self.claimed.failures or is_late)):
            return rows, await asyncio.to_thread(extracted, rows, known, self.model.max_chars)
        try:
            return await self.model.summarize(rows, known, halvings=self.claimed.failures)
        except QuotaExceeded:
            log.info("summary_waits_for_quota", chat_id=self.claimed.chat_id)
            if not is_waited_for:
                await self._wait(summaries.wait_for_quota(self.claimed))
                return None
        except ModelError as error:
            log.warning("summary_failed", chat_id=self.claimed.chat_id, error=type(error).__name__)
            # What a model refuses again and again must not keep all later messages out of the memory.
            if not is_waited_for and self.claimed.failures < EXTRACT_AFTER:
                await self._wait(summaries.failed(self.claimed))
                return None
        return rows, await asyncio.to_thread(extracted, rows, known, self.model.max_chars)

    async def _wait(self, later: Update) -> None:
        async with self.database.connect() as db:
            await db.execute(later)

    async def _with_taken_back(self, chunk: Sequence[SummarizedMessage], draft: Draft, known: Known) -> Draft:
        """The draft with what the user took back in these messages, where the model did not say what that is."""
        forgettings = list(draft.forgettings)
        scope = Scope(self.claimed.user_id, self.claimed.chat_id, self.claimed.watermark)
        own = [fact for fact in known.facts if fact.state == "current"]
        for request in await asyncio.to_thread(_requests, chunk, draft):
            found = await self.index.find(scope, request.text, limit=MAX_TAKEN_BACK)
            looked_up = [(one.position, one.text) for one in found if one.role == "user"]
            forgetting = await asyncio.to_thread(_taken_back, chunk, request, looked_up, own)
            if forgetting is not None:
                forgettings.append(forgetting)
        if len(forgettings) == len(draft.forgettings):
            return draft
        facts = await asyncio.to_thread(without_taken_back, draft.facts, forgettings)
        return replace(draft, facts=facts, forgettings=forgettings)

    async def _within_bounds(self, segments: list[Segment], *, is_well: bool) -> list[Segment]:
        """The segments, merged two by two until all together have at most `max_chars` characters.

        While the model is not well they may have twice as many: what it merges is better than what is merged without it. Of
        neighbours, those are merged that cover the fewest messages, the oldest first. So a message passes through a model
        as often as its chat doubles in length. What the user wrote is merged last.
        """
        while len(segments) > 1:
            most = self.max_chars if is_well or not self.model.is_fit else 2 * self.max_chars
            if sum(len(segment.text) for segment in segments) <= most:
                break
            pairs = list(pairwise(segments))
            at = min(range(len(pairs)), key=lambda at: (_has_edited(pairs[at]), _covered(pairs[at]), at))
            older, newer = pairs[at]
            try:
                one = await self.model.merge(older, newer) if is_well else _merged(older, newer, self.model.max_chars)
            except (ModelError, QuotaExceeded):
                is_well = False
                continue
            segments[at : at + 2] = [one]
        return segments


class _Request(NamedTuple):
    """A request to forget something, and where it was said. `is_sure`: a model says that it is one."""

    position: int
    text: str
    is_sure: bool


def _requests(chunk: Sequence[SummarizedMessage], draft: Draft) -> list[_Request]:
    """What the user asks to forget in these messages where the model did not say what that is."""
    is_said = {forgetting.position for forgetting in draft.forgettings}
    found = list[_Request]()
    for message in chunk:
        if message.role == "user" and message.position not in is_said:
            is_sure = message.position in draft.unclear
            requests = [message.content] if is_sure else requests_to_forget(message.content)
            found += [_Request(message.position, text, is_sure) for text in dict.fromkeys(requests[:MAX_REQUESTS])]
    return found[: 4 * MAX_REQUESTS]


def _taken_back(
    chunk: Sequence[SummarizedMessage], request: _Request, looked_up: Sequence[tuple[int, str]], facts: Sequence[Fact]
) -> Forgetting | None:
    earlier = [*nearest(chunk, request.position, request.text), *looked_up]
    return taken_back(request.text, request.position, earlier, facts, is_sure=request.is_sure)


def may_be_better(segment: Segment) -> bool:
    """Whether a model may still be asked for something better than an extract."""
    return segment.kind == "extract" and segment.tries < MAX_TRIES


def _merged(older: Segment, newer: Segment, max_chars: int) -> Segment:
    """As `merged`. It covers too much to be made anew of its messages."""
    return replace(merged(older, newer, max_chars), tries=MAX_TRIES)


def _has_edited(pair: tuple[Segment, Segment]) -> bool:
    return any(segment.kind == "edited" for segment in pair)


def _covered(pair: tuple[Segment, Segment]) -> int:
    """How many messages two neighbours cover."""
    return pair[1].last - pair[0].first
