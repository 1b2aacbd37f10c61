"""Whatever is done to generations, by whom and in what order: the database and a simple model of it agree."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, func, insert, select, update

from services.api.turns.queries import Bounds, open_turn
from services.api.turns.turn import NewTurn, Turn
from services.api.versions.queries import lock_chat
from shared.database.engine import Connection, Database, open_database
from shared.database.tables import Chat, Generation, Message, Operation, User
from shared.generations import claim as claims
from shared.generations import recover
from shared.generations.approval import lock, pause, resume
from shared.generations.cancel import OpenGeneration, cancel
from shared.generations.finish import FinishedReply, finish
from shared.generations.outcome import Outcome
from shared.generations.progress import checkpoint
from shared.generations.turn_order import QueuedGeneration, mark_closed, promote
from shared.ids import ChatId, GenerationId, MessageId, OperationId, UserId, new_operation_id
from shared.states import LIVE, MAX_LOSSES, OPEN, TERMINAL, WITH_SLOT, GenerationStatus, is_legal, message_status

T = TypeVar("T")
Status = GenerationStatus
LEASE = timedelta(seconds=60)
BOUNDS = Bounds(slots=3, depth=5)
Pick = st.integers(min_value=0, max_value=10_000)


@dataclass
class Made:
    """A generation as the model has it. `held` are all attempts that a worker has ever had."""

    id: GenerationId
    chat: ChatId
    user: UserId
    message: MessageId
    status: Status
    attempt: int = 0
    losses: int = 0
    content: str = ""
    held: list[int] = field(default_factory=list)
    undecided: list[OperationId] = field(default_factory=list)
    has_slot: bool = True

    def becomes(self, status: Status) -> None:
        """Move, legally."""
        assert is_legal(self.status, status)
        self.status = status


class Life(RuleBasedStateMachine):
    """Two users with two chats each, and workers that remember attempts that are no longer theirs."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = self.run(self._open())
        self.made: dict[GenerationId, Made] = {}
        self.chats: list[tuple[UserId, ChatId]] = self.run(self._fill())

    async def _open(self) -> Database:
        return open_database(self.url.replace("postgresql://", "postgresql+psycopg://"), pool_size=2)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the machine's own event loop."""
        return self.runner.run(work)

    async def _fill(self) -> list[tuple[UserId, ChatId]]:
        async with self.database.begin() as db:
            await db.execute(delete(User))
            users = [UserId(await self._insert(db, User, email=f"{n}@example.com", password_hash="x")) for n in (1, 2)]
            return [(user, ChatId(await self._insert(db, Chat, user_id=user))) for user in users * 2]

    async def _insert(self, db: Connection, table: Any, **values: object) -> int:  # noqa: ANN401
        return (await db.execute(insert(table).values(**values).returning(table.id))).scalar_one()  # type: ignore[no-any-return]

    def teardown(self) -> None:
        """Close the database."""
        self.run(self.database.dispose())
        self.runner.close()

    def _some(self, pick: int, likely: Status) -> Made:
        """Any, but mostly one with a status for which something happens."""
        likely_ones = [made for made in self.made.values() if made.status == likely]
        among = likely_ones if likely_ones and pick % 4 else list(self.made.values())
        return among[pick // 4 % len(among)]

    def _in(self, chat: ChatId, *statuses: Status) -> list[Made]:
        return [made for made in self.made.values() if made.chat == chat and made.status in statuses]

    @rule(pick=Pick, waits=st.booleans())
    def post(self, pick: int, waits: bool) -> None:
        """Accept a message, at once or in line."""
        user, chat = self.chats[pick % len(self.chats)]
        if not waits and self._in(chat, *LIVE):
            return  # the index refuses it, which test_conflicts proves

        async def accept() -> Turn | None:
            async with self.database.connect() as db:
                new = NewTurn(user, chat, "Hello", on_conflict="enqueue" if waits else "reject")
                return await open_turn(db, new, None, BOUNDS)

        turn = self.run(accept())
        taken = [
            made for made in self.made.values() if made.user == user and made.status in WITH_SLOT and made.has_slot
        ]
        queued = [made for made in self.made.values() if made.status == Status.QUEUED]
        overtakes = not waits and self._in(chat, Status.WAITING)
        assert (turn is None) == (len(taken) >= BOUNDS.slots or len(queued) > BOUNDS.depth or bool(overtakes))
        if turn is not None:
            self.made[turn.generation_id] = Made(
                turn.generation_id, chat, user, MessageId(turn.assistant_message_id), Status(turn.status)
            )

    @rule(pick=Pick)
    def interrupt(self, pick: int) -> None:
        """Cancel what a chat has open."""
        user, chat = self.chats[pick % len(self.chats)]

        async def stop() -> list[OpenGeneration]:
            async with self.database.begin() as db:
                await lock_chat(db, user, chat)
                return await cancel(db, Generation.chat_id == chat)

        self._were_cancelled(self.run(stop()), self._in(chat, *OPEN))

    @precondition(lambda self: self.made)
    @rule(pick=Pick)
    def cancel(self, pick: int) -> None:
        """Cancel one, over or not."""
        made = self._some(pick, Status.CANCELLED)

        async def stop() -> list[OpenGeneration]:
            async with self.database.connect() as db:
                return await cancel(db, Generation.id == made.id, Generation.user_id == made.user)

        self._were_cancelled(self.run(stop()), [made] if made.status in OPEN else [])

    def _were_cancelled(self, stopped: list[OpenGeneration], expected: list[Made]) -> None:
        told = sorted((one.id, one.attempt, one.message_id, one.content) for one in stopped)
        assert told == sorted((made.id, made.attempt, made.message, made.content) for made in expected)
        for made in expected:
            made.becomes(Status.CANCELLED)

    @precondition(lambda self: self.made)
    @rule(pick=Pick)
    def claim(self, pick: int) -> None:
        """A worker gets a job, which may be old."""
        made = self._some(pick, Status.QUEUED)

        async def take() -> claims.Claimed | None:
            async with self.database.connect() as db:
                return await claims.claim(db, made.id, LEASE)

        claimed = self.run(take())
        assert (claimed is not None) == (made.status == Status.QUEUED)
        if claimed is not None:
            made.becomes(Status.RUNNING)
            made.attempt += 1
            made.held.append(made.attempt)
            assert (claimed.attempt, claimed.content) == (made.attempt, made.content)

    def _attempt(self, pick: int) -> tuple[Made, int, bool] | None:
        """A generation, an attempt that some worker had of it, and whether that still holds."""
        held = [(made, attempt) for made in self.made.values() for attempt in made.held]
        if not held:
            return None
        running = [(made, attempt) for made, attempt in held if made.status == Status.RUNNING]
        among = running if running and pick % 4 else held
        made, attempt = among[pick // 4 % len(among)]
        return made, attempt, made.status == Status.RUNNING and made.attempt == attempt

    @rule(pick=Pick, release=st.booleans())
    def renew_or_release(self, pick: int, release: bool) -> None:
        """A heartbeat, or a worker that leaves."""
        if (found := self._attempt(pick)) is None:
            return
        made, attempt, holds = found
        pair = [(made.id, attempt)]
        changed = self.run(self._ids(claims.release(pair) if release else claims.renew(pair, LEASE)))
        assert changed == ([made.id] if holds else [])
        if release and holds:
            made.becomes(Status.QUEUED)

    async def _ids(self, statement: Any) -> list[GenerationId]:  # noqa: ANN401
        async with self.database.begin() as db:
            return [GenerationId(found) for found in (await db.execute(statement)).scalars()]

    @rule(pick=Pick, more=st.integers(1, 3))
    def checkpoint(self, pick: int, more: int) -> None:
        """A worker saves what it has written."""
        if (found := self._attempt(pick)) is None:
            return
        made, attempt, holds = found
        text = made.content + "word " * more

        async def save() -> None:
            async with self.database.connect() as db:
                await db.execute(checkpoint([(made.id, attempt, text)]))

        self.run(save())
        if holds:
            made.content = text

    @rule(pick=Pick, operations=st.lists(st.booleans(), max_size=2))
    def pause(self, pick: int, operations: list[bool]) -> None:
        """A worker lets a person decide about operations, of which some are decided by now (True)."""
        if (found := self._attempt(pick)) is None:
            return
        made, attempt, holds = found

        async def wait() -> tuple[bool, QueuedGeneration | None]:
            async with self.database.begin() as db:
                for is_decided in operations if holds else ():
                    made.undecided += [await self._propose(db, made)]
                    if is_decided:
                        await self._decide(db, made.undecided.pop())
                is_paused = await pause(db, made.id, attempt, FinishedReply(made.content + "so far"))
                return is_paused, await resume(db, made.id)

        is_paused, resumed = self.run(wait())
        assert is_paused is holds
        if holds:
            made.becomes(Status.AWAITING_APPROVAL)
            made.has_slot = False
            made.content += "so far"
            if not made.undecided:
                made.becomes(Status.QUEUED)
        assert (resumed and resumed.id) == (made.id if made.status == Status.QUEUED and holds else None)

    async def _propose(self, db: Connection, made: Made) -> OperationId:
        operation = {"kind": "tool_call", "status": "proposed", "summary": "", "preview": {}, "digest": ""}
        values = {"id": new_operation_id(), "user_id": made.user, "generation_id": made.id, "expires_at": func.now()}
        call_id = str(values["id"])
        return await self._insert(db, Operation, **operation, **values, call_id=call_id)  # type: ignore[return-value]

    async def _decide(self, db: Connection, operation: OperationId) -> None:
        await db.execute(update(Operation).where(Operation.id == operation).values(status="refused"))

    @precondition(lambda self: any(made.undecided for made in self.made.values()))
    @rule(pick=Pick)
    def decide(self, pick: int) -> None:
        """A person decides. The generation goes on when all is decided."""
        asked = [made for made in self.made.values() if made.undecided]
        made = asked[pick % len(asked)]

        async def say() -> QueuedGeneration | None:
            async with self.database.begin() as db:
                await lock(db, made.id)
                await self._decide(db, made.undecided.pop())
                return await resume(db, made.id)

        resumed = self.run(say())
        goes_on = made.status == Status.AWAITING_APPROVAL and not made.undecided
        assert (resumed is not None) == goes_on
        if goes_on:
            made.becomes(Status.QUEUED)

    @rule(pick=Pick, status=st.sampled_from([Status.COMPLETED, Status.FAILED]))
    def finish(self, pick: int, status: Status) -> None:
        """A worker has come to the end, and may be too late."""
        if (found := self._attempt(pick)) is None:
            return
        made, attempt, holds = found

        async def end() -> bool:
            async with self.database.connect() as db:
                return await finish(db, made.id, attempt, Outcome(status), FinishedReply(made.content + "end"))

        assert self.run(end()) is holds
        if holds:
            made.becomes(status)
            made.content += "end"

    @precondition(lambda self: any(made.status == Status.RUNNING for made in self.made.values()))
    @rule(pick=Pick)
    def lose(self, pick: int) -> None:
        """A worker dies; the sweep finds its lease expired."""
        running = [made for made in self.made.values() if made.status == Status.RUNNING]
        made = running[pick % len(running)]

        async def expire() -> list[Any]:
            async with self.database.begin() as db:
                past = func.now() - timedelta(seconds=1)
                await db.execute(update(Generation).where(Generation.id == made.id).values(lease_expires_at=past))
                lost = list((await db.execute(recover.take_over_expired())).all())
                failed = [row.assistant_message_id for row in lost if row.status == Status.FAILED]
                await db.execute(recover.fail_replies(failed))
                return lost

        (lost,) = self.run(expire())
        made.losses += 1
        made.becomes(Status.FAILED if made.losses >= MAX_LOSSES else Status.QUEUED)
        made.attempt += made.status == Status.FAILED
        assert (lost.id, lost.status, lost.attempt) == (made.id, made.status, made.attempt)

    @precondition(lambda self: any(made.status in TERMINAL for made in self.made.values()))
    @rule(pick=Pick, beyond=st.integers(0, 1))
    def close(self, pick: int, beyond: int) -> None:
        """A log gets its terminal frame, and the chat's next generation its turn."""
        over = [made for made in self.made.values() if made.status in TERMINAL]
        made = over[pick % len(over)]

        async def note() -> QueuedGeneration | None:
            async with self.database.connect() as db:
                return await mark_closed(db, made.id, made.attempt + beyond, 7)

        due = self.run(note())
        made.attempt += beyond
        waiting = [] if self._in(made.chat, *LIVE) else self._in(made.chat, Status.WAITING)
        assert (due and due.id) == (waiting[0].id if waiting else None)
        for first in waiting[:1]:
            first.becomes(Status.QUEUED)

    @rule()
    def promote(self) -> None:
        """The sweep lets those begin whose turn has come."""
        due = {self._in(chat, Status.WAITING)[0].id for _, chat in self.chats if self._is_due(chat)}
        assert set(self.run(self._ids(promote()))) == due
        for generation in due:
            self.made[generation].becomes(Status.QUEUED)

    def _is_due(self, chat: ChatId) -> bool:
        return bool(self._in(chat, Status.WAITING)) and not self._in(chat, *LIVE)

    @rule(pick=Pick)
    def delete_chat(self, pick: int) -> None:
        """A chat goes, with all that belongs to it; its user makes another."""
        place = pick % len(self.chats)
        user, chat = self.chats[place]

        async def replace() -> ChatId:
            async with self.database.begin() as db:
                await db.execute(delete(Chat).where(Chat.id == chat))
                return ChatId(await self._insert(db, Chat, user_id=user))

        self.chats[place] = (user, self.run(replace()))
        self.made = {made.id: made for made in self.made.values() if made.chat != chat}

    @invariant()
    def agrees(self) -> None:
        """Rows are what the model says, replies what their generations say, places and positions without collision."""

        async def look() -> tuple[list[Any], list[Any]]:
            async with self.database.connect() as db:
                generations = select(
                    Generation.id,
                    Generation.status,
                    Generation.attempt,
                    Message.status,
                    Message.content,
                    Generation.slot,
                ).join(Message, Message.id == Generation.assistant_message_id)
                positions = select(Message.chat_id, func.array_agg(Message.position)).group_by(Message.chat_id)
                return list((await db.execute(generations)).all()), list((await db.execute(positions)).all())

        rows, positions = self.run(look())
        assert {tuple(row[:5]) for row in rows} == {
            (made.id, made.status, made.attempt, message_status(made.status), made.content)
            for made in self.made.values()
        }
        for _, numbers in positions:
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
        slots = {row[0]: row[5] for row in rows}
        taken = [(made.user, slots[made.id]) for made in self.made.values() if made.status in OPEN and made.has_slot]
        assert len(set(taken)) == len(taken)
        assert all(0 <= slot < BOUNDS.slots for _, slot in taken)
        assert all(len(self._in(chat, *LIVE)) <= 1 for _, chat in self.chats)


def test_whatever_happens_to_generations_the_database_agrees_with_the_model(make_database: Callable[[], str]) -> None:
    Life.url = make_database()
    slow = settings(
        max_examples=25,
        stateful_step_count=40,
        deadline=None,
        # Real statements take milliseconds each, and each example begins with empty tables.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(Life, settings=slow)
