"""The memory's ledger: whatever happens, and in whatever order, each message is covered by one segment or told in full, once."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import ColumnElement, delete, func, insert, select, update

from services.api.limits import Limits
from services.api.memory.queries import change_memory
from services.api.memory.schemas import MemoryChange
from services.api.turns.new_versions import open_version
from services.api.turns.turn import Edit, Regeneration
from services.api.versions.queries import choose_version, delete_turn, read_tree
from services.api.versions.tree import ROOT, Tree
from services.worker.generations.history import ChatHistory, load_history
from services.worker.generations.prompt_size import Prompt, today_in
from services.worker.look_up.postgres import PostgresIndex
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ModelChunk, ModelRequest, RetryNotice
from services.worker.summaries.summarizer import Summarizer
from shared.database.engine import Connection, Database, open_database
from shared.database.tables import Chat, Generation, MemoryFact, MemorySegment, Message, MessageTerms, User
from shared.errors import ModelBadResponse, ModelTimeout, PromptTooLong
from shared.generations.cancel import cancel
from shared.generations.claim import Claimed
from shared.ids import ChatId, MessageId, UserId
from shared.memory import summaries
from shared.memory.segments import Segment, whole_text
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.metrics import NullMetrics
from tests.doubles.groq.manners import is_alternating
from tests.support.models import bounds
from tests.support.operations import BOUNDS
from tests.support.turns import Noted, without_record

T = TypeVar("T")
MAX_CHARS: Final = 400
LIMITS: Final = Limits(
    message_chars=32_000,
    offered_models=("scripted",),
    live_generations=9,
    queue_depth=9,
    daily_tokens=None,
    summary_chars=MAX_CHARS,
    facts=40,
    kept_messages=9,
    trash_days=30,
    proposals=BOUNDS,
)
REFUSAL: Final = "I'm sorry, but I can't help with that."
MARK: Final = re.compile(r"<m(\d+)>")
"""What each message begins with: a number of its own, also where a deleted message's position is taken again."""
TOLD_MARK: Final = re.compile(r"m(\d+)>")
"""The same in a segment."""


def honest(request: str) -> str:
    """The beginning of each message, or all of two summaries, as a dutiful model would have it."""
    line = next(line for line in request.split("\n") if line.startswith(("The messages: ", "The summaries: ")))
    quoted = json.loads(line.partition(": ")[2])
    messages = [one for one in quoted if "position" in one]  # two summaries have no facts
    texts = [one["text"].replace("<m", "m")[:60] for one in quoted]
    facts = [
        {
            "position": one["position"],
            "quote": one["text"][-24:],
            "kind": "preference",
            "subject": "user",
            "attribute": "a",
        }
        for one in messages
    ]
    forget = [{"position": one["position"], "values": ["Lisbon"]} for one in messages if "forget" in one["text"]]
    return json.dumps({"summary": " ".join(texts), "facts": facts, "forget": forget})


ANSWERS: Final[dict[str, Callable[[str], str]]] = {
    "honest": honest,
    "a part of it": lambda request: honest(request)[: len(honest(request)) // 2],
    "a refusal": lambda _: REFUSAL,
    "nothing": lambda _: "",
    "an essay": lambda _: "One could say a great deal about this. " * 400,
    "broken": lambda _: '{"summary": {"a": [[[',
    "hostile": lambda _: json.dumps(
        {"summary": 7, "facts": [{"position": True}], "forget": [{"position": [], "facts": [True]}]}
    ),
    "too much": lambda request: json.dumps({"summary": request * 5}),
}
"""What a model may answer to a request."""
FAILURES: Final = {"fails": ModelBadResponse, "is late": ModelTimeout, "finds it too long": PromptTooLong}


@dataclass
class Scripted:
    """A ChatModel whose answers, or failures, are named one after the other; it is honest from then on.

    `meanwhile` is done once, while the first answer is made.
    """

    script: list[str] = field(default_factory=list)
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """What is next in the script."""
        if self.meanwhile is not None:
            change, self.meanwhile = self.meanwhile, None
            await change()
        now = self.script.pop(0) if self.script else "honest"
        if now in FAILURES:
            raise FAILURES[now]
        yield ModelChunk(ANSWERS[now](request.conversation[-1].content), finish_reason="stop")


scripts = st.lists(st.sampled_from([*ANSWERS, *FAILURES]), max_size=4)
contents = st.sampled_from(
    [
        "Lisbon in May.",
        "ok",
        "The code is K7-11, the budget 12,500.",
        "Please forget Lisbon.",
        "word " * 60,
        "我住在杭州。" * 9,
    ]
)
VERSIONS: Final = ("regenerate", "edit", "choose", "delete the last turn")
places = st.floats(0, 1)
"""Where in the chat: from its beginning to its end."""


class Ledger(RuleBasedStateMachine):
    """One chat, whose messages come and go, with summarizers of all kinds."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = self.run(self._open())
        self.user, self.chat = self.run(self._fill())
        self.said = 0
        self.model = Scripted()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the machine's own event loop."""
        return self.runner.run(work)

    async def _open(self) -> Database:
        return open_database(self.url.replace("postgresql://", "postgresql+psycopg://"), pool_size=4)

    async def _fill(self) -> tuple[UserId, ChatId]:
        async with self.database.begin() as db:
            await db.execute(delete(User))
            new_user = insert(User).values(email="a@example.com", password_hash="x").returning(User.id)
            user = (await db.execute(new_user)).scalar_one()
            chat = (await db.execute(insert(Chat).values(user_id=user).returning(Chat.id))).scalar_one()
            return UserId(user), ChatId(chat)

    def teardown(self) -> None:
        """Close the database."""
        self.run(self.database.dispose())
        self.runner.close()

    def _summarizer(self, window: int, chunk: int) -> Summarizer:
        return Summarizer(
            database=self.database,
            model=self.model,
            models=ModelCatalog("scripted"),
            index=PostgresIndex(self.database),
            jobs=Noted(),
            feed=FeedPublisher(InMemoryFeeds(), NullMetrics()),
            window=window,
            chunk_messages=chunk,
            timeout=60,
            max_chars=MAX_CHARS,
            daily_tokens=None,
            metrics=NullMetrics(),
        )

    # What people do.

    async def _say(self, db: Connection, texts: list[str], *, pending: bool = False) -> None:
        """Add turns: the texts are by turns the user's and the assistant's."""
        last = (await db.execute(select(Chat.last_position).where(Chat.id == self.chat).with_for_update())).scalar_one()
        rows = list[dict[str, Any]]()
        for number, text in enumerate(texts, start=1):
            self.said += 1
            is_pending = pending and number % 2 == 0
            rows.append(
                {
                    "chat_id": self.chat,
                    "role": "user" if number % 2 else "assistant",
                    "content": f"<m{self.said}> {text}" if text and not is_pending else "",
                    "position": last + number,
                    "status": "pending" if is_pending else "completed",
                }
            )
        if rows:
            await db.execute(insert(Message), rows)
        await db.execute(update(Chat).where(Chat.id == self.chat).values(last_position=last + len(texts)))

    async def _in_transaction(self, do: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        async with self.database.begin() as db:
            return await do(db)

    async def _position(self, place: float) -> int:
        """A position in the chat or right behind it: mostly one at which a segment begins or ends."""
        async with self.database.connect() as db:
            last = (await db.execute(select(Chat.last_position).where(Chat.id == self.chat))).scalar_one()
            ends = (
                await db.execute(select(MemorySegment.last_position).order_by(MemorySegment.last_position))
            ).scalars()
            edges = [position for end in ends for position in (end, end + 1) if position]
        share, among = place * 4 % 1, edges if edges and place < 3 / 4 else range(1, last + 2)
        return among[int(share * len(among))]

    @initialize(turns=st.integers(3, 12))
    def begin(self, turns: int) -> None:
        """A chat that has been going on."""
        self.run(self._in_transaction(lambda db: self._say(db, ["Lisbon in May.", "Yes."] * turns)))

    @rule(asked=contents, answered=contents | st.just(""), turns=st.integers(2, 7))
    def say(self, asked: str, answered: str, turns: int) -> None:
        """Some turns; an answer that failed may be empty."""
        self.run(self._in_transaction(lambda db: self._say(db, [asked, answered] * turns)))

    @rule(asked=contents)
    def ask(self, asked: str) -> None:
        """A question whose answer is in the making."""
        self.run(self._in_transaction(lambda db: self._say(db, [asked, "?"], pending=True)))

    @rule(content=contents | st.just(""), status=st.sampled_from(["completed", "failed", "cancelled"]))
    def end_answers(self, content: str, status: str) -> None:
        """All answers that are in the making end."""
        self.said += 1
        said = f"<m{self.said}> {content}" if content else ""

        async def end(db: Connection) -> None:
            pending = select(func.min(Message.id)).where(Message.chat_id == self.chat, Message.status == "pending")
            await db.execute(
                update(Message).where(Message.id == pending.scalar_subquery()).values(content=said, status=status)
            )
            await db.execute(
                update(Message).where(Message.chat_id == self.chat, Message.status == "pending").values(status=status)
            )

        self.run(self._in_transaction(end))

    async def _make_anew(self, place: float) -> None:
        position = await self._position(place)
        await self._in_transaction(lambda db: summaries.make_anew(db, self.chat, position, LIMITS.kept_messages))

    async def _delete(self, place: float) -> None:
        """Delete the messages from a position on, as a message that is sent anew does."""
        position = await self._position(place)

        async def take_away(db: Connection) -> None:
            await summaries.make_anew(db, self.chat, position, LIMITS.kept_messages)
            await db.execute(delete(Message).where(Message.chat_id == self.chat, Message.position >= position))
            await db.execute(update(Chat).where(Chat.id == self.chat).values(last_position=position - 1))

        await self._in_transaction(take_away)

    async def _correct(self, text: str) -> None:
        change = MemoryChange.model_validate({"summary": text})
        await self._in_transaction(lambda db: change_memory(db, self.user, self.chat, change, LIMITS))

    def _change(self, what: str, place: float) -> Coroutine[Any, Any, None]:
        changes = {
            "make anew": lambda: self._make_anew(place),
            "forget all": self._forget_all,
            "delete": lambda: self._delete(place),
            "correct": lambda: self._correct("The user corrected this. " * int(1 + place * 14)),
            "empty": lambda: self._correct(""),
            "regenerate": lambda: self._regenerate(place),
            "edit": lambda: self._edit(place),
            "choose": lambda: self._choose(place),
            "delete the last turn": self._delete_turn,
        }
        return changes[what]()

    async def _forget_all(self) -> None:
        await self._in_transaction(lambda db: summaries.make_anew(db, self.chat, 0, LIMITS.kept_messages))

    # What people do with versions, each by the function that a request calls.

    async def _any(self, db: Connection, place: float, *which: ColumnElement[bool]) -> MessageId | None:
        """A message that may be any, so that replaced ones are among them; None where there is none such."""
        found = (await db.execute(select(Message.id).where(*which).order_by(Message.position))).scalars().all()
        return MessageId(found[int(place * (len(found) - 1))]) if found else None

    async def _end_all(self, db: Connection) -> None:
        """Whatever is in the making ends, as by a request that interrupts."""
        await cancel(db, Generation.chat_id == self.chat)
        await db.execute(update(Message).where(Message.status == "pending").values(status="cancelled"))

    async def _open_version(self, db: Connection, new: Regeneration | Edit) -> None:
        await self._end_all(db)
        await open_version(db, new, None, LIMITS)

    async def _regenerate(self, place: float) -> None:
        async def regenerate(db: Connection) -> None:
            message = await self._any(db, place)
            if message is not None:
                await self._open_version(db, Regeneration(self.user, self.chat, message))
                assert await self._is_asked(db)

        await self._in_transaction(regenerate)

    async def _is_asked(self, db: Connection) -> bool:
        """Whether the last question is told in full: no segment covers it."""
        asked = select(func.max(Message.position)).where(Message.role == "user", ~Message.replaced).scalar_subquery()
        return bool((await db.execute(select(Chat.summary_position < asked))).scalar_one())

    async def _edit(self, place: float) -> None:
        self.said += 1

        async def edit(db: Connection) -> None:
            message = await self._any(db, place, Message.role == "user")
            if message is not None:
                await self._open_version(db, Edit(self.user, self.chat, message, f"<m{self.said}> Lisbon in June."))

        await self._in_transaction(edit)

    async def _choose(self, place: float) -> None:
        async def choose(db: Connection) -> None:
            message = await self._any(db, place, Message.replaced.is_(True))
            if message is not None:
                await self._end_all(db)
                await choose_version(db, self.user, self.chat, message, LIMITS.kept_messages)

        await self._in_transaction(choose)

    async def _delete_turn(self) -> None:
        async def take_away(db: Connection) -> None:
            message = await self._any(db, 1, ~Message.replaced)
            if message is not None:
                await delete_turn(db, self.user, self.chat, message, LIMITS.kept_messages)

        await self._in_transaction(take_away)

    @rule(what=st.sampled_from(VERSIONS), place=places)
    def change_version(self, what: str, place: float) -> None:
        """Somebody has a message answered anew, edits one, chooses a version, or deletes the last turn."""
        self.run(self._change(what, place))

    @rule(what=st.sampled_from(["make anew", "forget all", "delete", "correct", "empty"]), place=places)
    def change(self, what: str, place: float) -> None:
        """Somebody changes the memory, or what it is of."""
        self.run(self._change(what, place))

    # What workers do.

    @rule(
        window=st.integers(1, 6),
        chunk=st.integers(1, 5),
        script=scripts,
        outrun_by=st.none()
        | st.sampled_from(["make anew", "forget all", "delete", "correct", "summarize now", *VERSIONS]),
        place=places,
    )
    def summarize(self, window: int, chunk: int, script: list[str], outrun_by: str | None, place: float) -> None:
        """A job, after all pauses are over; somebody may be quicker."""
        summarizer = self._summarizer(window, chunk)
        self.model.script = script

        async def outrun() -> None:
            if outrun_by == "summarize now":
                await summarizer.summarize_now(self.chat)
            elif outrun_by:
                await self._change(outrun_by, place)

        self.model.meanwhile = outrun

        async def work() -> None:
            await summarizer.ask_if_due(self.chat)
            async with self.database.connect() as db:
                due = update(Chat).where(Chat.summary_due_at.is_not(None)).values(summary_due_at=func.now())
                await db.execute(due)
            await summarizer.summarize(self.chat)

        self.run(work())
        self.model.meanwhile = None

    @rule(window=st.integers(1, 6), chunk=st.integers(1, 5), script=scripts, is_doubled=st.booleans())
    def summarize_now(self, window: int, chunk: int, script: list[str], is_doubled: bool) -> None:
        """An answer waits; perhaps while another summarizer is at work."""
        summarizer = self._summarizer(window, chunk)
        self.model.script = script

        async def work() -> None:
            jobs = [summarizer.summarize_now(self.chat)]
            if is_doubled:
                jobs.append(self._summarizer(chunk, window).summarize_now(self.chat))
            await asyncio.gather(*jobs)

        self.run(work())

    # What always holds.

    @invariant()
    def segments_cover_each_position_once(self) -> None:
        """From 1 to the watermark, which lies in the chat, in order, within the memory's size."""

        async def look() -> tuple[Any, list[Any], list[Any]]:
            async with self.database.connect() as db:
                columns = (
                    MemorySegment.first_position,
                    MemorySegment.last_position,
                    MemorySegment.text,
                    MemorySegment.kind,
                )
                found = await db.execute(select(*columns).order_by(MemorySegment.first_position))
                chat = select(Chat.summary_position, Chat.indexed_position, Chat.last_position, Chat.summary)
                facts = select(MemoryFact.position, MemoryFact.source).where(MemoryFact.forgotten_at.is_(None))
                return (
                    (await db.execute(chat)).one(),
                    list(found),
                    list(await db.execute(facts)),
                )

        (watermark, indexed, last, summary), rows, facts = self.run(look())
        segments = [Segment(first, end, text) for first, end, text, _ in rows]
        assert indexed <= watermark <= last
        covering = [segment for segment in segments if segment.last]
        assert [segment.first for segment in covering[:1]] == [1][: len(covering)]
        assert all(before.last + 1 == after.first for before, after in pairwise(covering))
        assert (covering[-1].last if covering else 0) == watermark
        assert {(first, kind) for first, end, _, kind in rows if not end} <= {(0, "edited")}
        # Twice the cap, while the model fails: what it will merge is better than what code merges.
        assert sum(len(segment.text) for segment in segments) <= 2 * MAX_CHARS
        assert summary == whole_text(segments)  # for processes of the release before
        assert all(fact.position <= watermark for fact in facts if fact.source != "edited")

    @invariant()
    def nothing_of_a_replaced_message_is_told(self) -> None:
        """Neither in a segment, nor as a fact, nor by a look-up; and every other summarized message can be looked up."""

        async def look() -> tuple[list[Any], list[Any], Any, list[Any]]:
            async with self.database.connect() as db:
                messages = select(
                    Message.position,
                    Message.content,
                    Message.replaced,
                    select(MessageTerms.message_id).where(MessageTerms.message_id == Message.id).exists(),
                )
                made = MemorySegment.kind != "edited"
                facts = select(MemoryFact.position).where(
                    MemoryFact.forgotten_at.is_(None), MemoryFact.source != "edited", ~MemoryFact.is_pinned
                )
                return (
                    list(await db.execute(messages)),
                    list((await db.execute(select(MemorySegment.text).where(made))).scalars()),
                    (await db.execute(select(Chat.summary_position, Chat.indexed_position))).one(),
                    list((await db.execute(facts)).scalars()),
                )

        messages, texts, (watermark, indexed), facts = self.run(look())
        active = {mark for _, content, replaced, _ in messages if not replaced for mark in MARK.findall(content)}
        assert {mark for text in texts for mark in TOLD_MARK.findall(text)} <= active
        assert set(facts) <= {position for position, _, replaced, _ in messages if not replaced}
        assert not any(is_indexed for _, _, replaced, is_indexed in messages if replaced)
        if indexed == watermark:
            assert all(
                is_indexed
                for position, content, replaced, is_indexed in messages
                if not replaced and position <= watermark and content
            )

    @invariant()
    def the_tree_holds_together(self) -> None:
        """Each message follows an earlier one, each reply a message of the user's."""

        async def look() -> Tree:
            async with self.database.connect() as db:
                return await read_tree(db, self.chat)

        tree = self.run(look())
        for node in tree.nodes.values():
            assert node.parent < node.position
            assert node.parent in tree.nodes or (node.parent == ROOT and node.is_user)
            assert node.is_user or tree.nodes[node.parent].is_user
            assert node.replaced or node.parent == ROOT or not tree.nodes[node.parent].replaced

    @invariant()
    def each_message_is_covered_or_told_in_full_once_and_in_order(self) -> None:
        """The prompt of the last question has all that is behind the watermark, and keeps its budget."""
        loaded = self.run(self._load())
        if loaded is None:
            return
        history, expected = loaded
        prompt = Prompt(today_in(None), max_facts=40)
        whole = prompt.build(history, [], bounds(64_000), with_tools=False)
        assert whole.left_out == 0
        told = "\n".join(without_record(said.content) for said in whole.conversation)
        # The same question sent again is told once, where it was sent last.
        assert MARK.findall(told) == expected
        assert whole.conversation[-1].content.endswith(history.question)
        for context_tokens in (1_300, 2_000):
            small = prompt.build(history, [], bounds(context_tokens), with_tools=False)
            alone = prompt.build(
                ChatHistory(type(history.memory)(), history.messages[-1:]), [], bounds(context_tokens), with_tools=False
            )
            assert small.tokens <= max(context_tokens - 300, alone.tokens)
            marks = MARK.findall("\n".join(without_record(said.content) for said in small.conversation))
            assert marks == expected[len(expected) - len(marks) :]
            turns: list[dict[str, object]] = [
                {"role": said.role, "content": said.content} for said in small.conversation
            ]
            assert is_alternating(turns)

    async def _load(self) -> tuple[ChatHistory, list[str]] | None:
        """What the last question's answer is told, and the marks of the messages that it has to have in full."""
        async with self.database.connect() as db:
            of_chat = select(Message.id, Message.position, Message.content, Message.role).where(~Message.replaced)
            rows = (await db.execute(of_chat.order_by(Message.position))).all()
            watermark = (await db.execute(select(Chat.summary_position))).scalar_one()
            question = next((row for row in reversed(rows) if row.role == "user"), None)
            if question is None or question.position <= watermark:
                return None  # no message of the chat can be asked with this watermark
            claimed = Claimed(
                attempt=1,
                user_id=self.user,
                chat_id=self.chat,
                user_message_id=MessageId(question.id),
                assistant_message_id=MessageId(0),
                model=None,
                steps=None,
                content="",
                title_by=None,
                title_tries=0,
                watermark=watermark,
                traceparent=None,
                waited=timedelta(0),
                time_zone=None,
            )
            history = await load_history(db, claimed)
        told = [row.content for row in rows if watermark < row.position <= question.position]
        return history, [mark for content in told for mark in MARK.findall(content)]


def test_whatever_happens_each_message_is_told_in_full_or_covered_once(make_database: Callable[[], str]) -> None:
    Ledger.url = make_database()
    slow = settings(
        max_examples=17,
        stateful_step_count=10,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # to make a failure smaller takes minutes here
        # Real statements take milliseconds each, and each example begins with empty tables.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(Ledger, settings=slow)
