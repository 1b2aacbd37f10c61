"""Answers that propose a change of a sandbox, and processes that are killed at each step until the outcome is told.

A process is held where the database lets it wait at a gate (GATES), or where the model's double does; then it dies by kill -9.
Whoever waits for an answer sees one stream, in which each frame comes once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import psycopg

from services.launcher.program import free_port
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.forks import Process
from tests.support.readers import Reader, User, user_of
from tests.support.system import System

Victim = Literal["worker", "api"]
Decision = Literal["committed", "refused", "stale"]
GATES: Final = {
    "proposing": (1, "INSERT ON operations", "true"),
    "pausing": (2, "UPDATE ON generations", "NEW.status = 'awaiting_approval' AND OLD.status = 'running'"),
    "deciding": (3, "UPDATE ON operations", "OLD.status = 'proposed' AND NEW.status <> 'proposed'"),
    "claiming": (4, "UPDATE ON operations", "NEW.attempt > OLD.attempt"),
    "noting": (5, "UPDATE ON operations", "NEW.xid IS NOT NULL AND OLD.xid IS NULL"),
    "ending": (6, "UPDATE ON operations", "OLD.status = 'approved' AND NEW.status <> 'approved'"),
    "going_on": (7, "UPDATE ON generations", "OLD.status = 'queued' AND NEW.status = 'running' AND OLD.attempt > 0"),
    "finishing": (8, "UPDATE ON generations", "OLD.status = 'running' AND NEW.status = 'completed'"),
}
"""Where the database holds whoever gets there: the number of the gate, and the change of a row that waits there."""
STEPS: Final[dict[Decision, tuple[str, ...]]] = {
    "committed": (
        *("proposing", "pausing", "waiting", "deciding", "claiming", "noting", "ending", "going_on", "telling"),
        "finishing",
    ),
    "refused": ("deciding", "going_on", "telling", "finishing"),
    "stale": ("claiming", "ending", "going_on", "telling"),
}
"""At which steps processes are killed, by what becomes of the operation. `waiting` is for the decision, `telling` the model."""
TOLD: Final[dict[Decision, str]] = {
    "committed": "it has been done",
    "refused": "A person refused this",
    "stale": "The data had changed",
}
"""What the model is told, among other words."""
PRICE: Final = "SELECT price FROM products WHERE id = 1"
RAISE: Final = "UPDATE products SET price = price + 1 WHERE id = 1"
MEDDLE: Final = "UPDATE products SET stock = stock + 1 WHERE id = 1"
WITHIN: Final = 30.0
"""Seconds in which a step has to be reached."""
_HOLD: Final = """
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); RETURN NEW; END $$
"""
_AT_GATE: Final = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_SEVER: Final = f"SELECT pg_terminate_backend(pid) FROM ({_AT_GATE}) AS held"  # noqa: S608 - words of ours
_EXPIRE: Final = "UPDATE {} SET lease_expires_at = now() - interval '1 second' WHERE lease_expires_at IS NOT NULL"


class Episode(NamedTuple):
    """Who dies when, and what becomes of the operation. `is_severed`: what the victim has under way in the database ends too."""

    decision: Decision
    step: str
    victim: Victim
    is_severed: bool = False


def all_episodes() -> list[Episode]:
    """Every step with every victim."""
    return [
        Episode(decision, step, victim, is_severed=(number + len(victim)) % 2 == 0)
        for decision, steps in STEPS.items()
        for number, step in enumerate(steps)
        for victim in ("worker", "api")
    ]


@dataclass
class Stage:
    """A system with one API and one worker, each of which is replaced when it dies, and a user with a sandbox."""

    system: System
    groq_url: str
    port: int
    api: Process
    worker: Process
    user: User
    source: int
    sandbox_url: str
    db: psycopg.AsyncConnection[Any]
    kills: int = 0
    killed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def play(self, episode: Episode) -> str:
        """Play an episode. Returns `once`, or what is wrong."""
        before = await self.price()
        model = uuid4().hex
        change = {"source": self.source, "sql": RAISE, "summary": "Raise the price by 1."}
        await groq_control.script(
            self.groq_url, "tool=db_propose_write", marker=model, arguments=change, purpose="answer"
        )
        if episode.step != "telling":
            await groq_control.release(self.groq_url, model)
        gate = await psycopg.AsyncConnection.connect(self.system.env["DATABASE_URL"], autocommit=True)
        async with gate:
            if episode.step in GATES:
                await gate.execute("SELECT pg_advisory_lock(%s)", [GATES[episode.step][0]])
            reader = await self._ask(model)
            deciding = asyncio.create_task(self._decide(reader, episode))
            try:
                await self._reach(episode, reader, model)
                await self._kill(episode, gate)
                await groq_control.release(self.groq_url, model)
                await reader.end()
                await deciding
            finally:
                deciding.cancel()
        asked = await groq_control.requests(self.groq_url, containing=model)
        wrong = await self._judge(episode, reader, before)
        if TOLD[episode.decision] not in str(asked[-1]["body"]):
            wrong.append("the model was not told")
        return ", ".join(wrong) or "once"

    async def price(self) -> float:
        """What the product costs that is changed."""
        asked = await self.user.send("POST", f"/api/data-sources/{self.source}/query", json={"sql": PRICE})
        return float(asked.json()["rows"][0][0])

    async def until(self, statement: str, *values: object) -> Any:  # noqa: ANN401 - whatever is asked for
        """Wait until our database has an answer. What a foreign process does there offers no event."""
        async with asyncio.timeout(WITHIN):
            while (row := await (await self.db.execute(statement.encode(), values)).fetchone()) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return row[0]

    async def at_gate(self, step: str) -> None:
        """Wait until somebody waits at a step's gate."""
        await self.until(_AT_GATE, GATES[step][0])

    async def _ask(self, model: str) -> Reader:
        """Ask in a chat that has a title: at the end of an answer, readers would wait for one that may be coming."""
        chat_id = (await self.user.send("POST", "/api/chats", json={"title": "Prices"})).json()["id"]
        accepted = await self.user.send(
            "POST",
            f"/api/chats/{chat_id}/messages",
            json={"content": f"Raise the price. [[tokens=4 after=2 hold={model}]]"},
            headers={"Prefer": "respond-async", "Idempotency-Key": uuid4().hex},
        )
        return Reader(self.user, accepted.json()["stream_url"], chat_id, 4)

    async def _decide(self, reader: Reader, episode: Episode) -> None:
        """Decide once the answer waits, unless the episode is about something before."""
        wait = "SELECT id::text FROM generations WHERE id = %s AND status = 'awaiting_approval'"
        await self.until(wait, reader.generation_id)
        if episode.step == "waiting":
            kills = self.kills
            async with asyncio.timeout(WITHIN), self.killed:
                await self.killed.wait_for(lambda: self.kills > kills)
        (operation,) = (await self.user.send("GET", f"/api/operations?chat_id={reader.chat_id}")).json()
        if episode.decision == "stale":
            async with await psycopg.AsyncConnection.connect(self.sandbox_url, autocommit=True) as owner:
                await owner.execute(MEDDLE.encode())
        route = "refuse" if episode.decision == "refused" else "approve"
        body = {"digest": operation["digest"]} if route == "approve" else None
        path = f"/api/operations/{operation['id']}/{route}"
        await self.user.send("POST", path, json=body, headers={"Prefer": "respond-async"})

    async def _reach(self, episode: Episode, reader: Reader, model: str) -> None:
        """Wait until somebody is at the step."""
        if episode.step in GATES:
            await self.at_gate(episode.step)
        elif episode.step == "telling":
            await groq_control.requests(self.groq_url, containing=model, held=1, within=WITHIN)
        else:
            wait = "SELECT id::text FROM generations WHERE id = %s AND status = 'awaiting_approval'"
            await self.until(wait, reader.generation_id)

    async def _kill(self, episode: Episode, gate: psycopg.AsyncConnection[Any]) -> None:
        """Kill the victim, open the gate, and let the leases end that the victim had."""
        await (self.replace_worker() if episode.victim == "worker" else self.replace_api())
        async with self.killed:
            self.kills += 1
            self.killed.notify_all()
        number = GATES[episode.step][0] if episode.step in GATES else 0
        if episode.is_severed and episode.victim == _at(episode.step):
            await self.db.execute(_SEVER.encode(), [number])
        await gate.execute("SELECT pg_advisory_unlock_all()")
        if episode.victim == "worker":
            await self.expire_leases()

    async def replace_worker(self) -> None:
        """Kill the worker, after another one has been started. Its leases hold on."""
        victim, self.worker = self.worker, await self.system.start_worker()
        await asyncio.to_thread(self.system.kill, victim)

    async def replace_api(self) -> None:
        """Kill the API, and start another one at its port."""
        await asyncio.to_thread(self.system.kill, self.api)
        self.api, _ = await self.system.start_api(PORT=str(self.port))

    async def expire_leases(self) -> None:
        """Let all leases end."""
        for table in ("generations", "operations"):
            await self.db.execute(_EXPIRE.format(table).encode())

    async def _judge(self, episode: Episode, reader: Reader, before: float) -> list[str]:
        """What is wrong with an answer that has ended."""
        wrong: list[str] = []
        made = await self.price() - before
        if made != (1 if episode.decision == "committed" else 0):
            wrong.append(f"changed by {made}")
        (operation,) = (await self.user.send("GET", f"/api/operations?chat_id={reader.chat_id}")).json()
        if operation["status"] != episode.decision:
            wrong.append(f"operation {operation['status']}")
        late = Reader(self.user, reader.path, reader.chat_id, reader.tokens)
        await late.end()
        for read in (reader, late):
            if (read.terminal["type"], read.text) != ("finish", numbered(4)):
                wrong.append(f"ended with {read.terminal} after {read.text!r}")
            told = [part["data"]["status"] for part in read.parts if part["type"] == "data-approval"]
            if told[-1:] != [episode.decision] or not set(told) <= {"proposed", episode.decision}:
                wrong.append(f"told {told}")
            outcome = "tool-output-available" if episode.decision == "committed" else "tool-output-error"
            if sum(part["type"].startswith("tool-output") for part in read.parts) != 1 or outcome not in read.types:
                wrong.append(f"outcomes {read.types}")
        saved = (await self.user.send("GET", f"/api/chats/{reader.chat_id}")).json()["messages"][-1]
        if (saved["status"], saved["content"]) != ("completed", numbered(4)):
            wrong.append(f"saved {saved['status']} {saved['content']!r}")
        entries = (await self.user.send("GET", "/api/audit?limit=100")).json()
        actions = [one["action"] for one in entries if one["subject"] == f"operation:{operation['id']}"]
        decided = ["operation.approved"] if episode.decision != "refused" else []
        if actions != [f"operation.{episode.decision}", *decided, "operation.proposed"]:
            wrong.append(f"audit {actions}")
        return wrong


def _at(step: str) -> Victim:
    """Whose statement waits at a step's gate."""
    return "api" if step == "deciding" else "worker"


@asynccontextmanager
async def open_stage(system: System, groq_url: str, sandbox_url: str) -> AsyncIterator[Stage]:
    """A system whose database has the gates. `sandbox_url` is that of a superuser, in the sandboxes' database."""
    system.ask(_HOLD)
    for number, event, when in GATES.values():
        system.ask(
            f"CREATE TRIGGER gate_{number} BEFORE {event} FOR EACH ROW WHEN ({when})"
            f" EXECUTE FUNCTION wait_at_gate({number})"
        )
    port = free_port()
    (api, url), worker = await asyncio.gather(system.start_api(PORT=str(port)), system.start_worker())
    async with (
        user_of(url) as user,
        await psycopg.AsyncConnection.connect(system.env["DATABASE_URL"], autocommit=True) as db,
    ):
        source = (await user.send("POST", "/api/data-sources/sandbox")).json()["id"]
        tables = (await user.send("GET", f"/api/data-sources/{source}/schema")).json()["tables"]
        schema = tables[0]["schema"]
        yield Stage(
            system, groq_url, port, api, worker, user, source, f"{sandbox_url}?options=-csearch_path%3D{schema}", db
        )
