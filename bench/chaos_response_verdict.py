"""The reckoning at `/v1/responses`: deltas, terminal events, looks, late streams, the row, the database, against each other."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from chaos_faults import Faults
from chaos_readers import RETRY_SECONDS
from chaos_response_readers import Json, ResponseView, text_of, without_reasoning
from chaos_responses import FAILURES, OVER, Asked, Responses
from chaos_verdict import STUCK_SECONDS, Verdict

UNSTORED_SECONDS: Final = 600.0
"""A response that is not stored is looked for again when it ended at most so long ago: it is deleted after 900 s."""
AT_ONCE: Final = 16
_MADE: Final = """
SELECT generations.id, generations.idempotency_key, generations.chat_id,
    (SELECT count(*) FROM messages WHERE messages.chat_id = generations.chat_id)
FROM generations WHERE generations.response IS NOT NULL
"""


async def judge_responses(verdict: Verdict, responses: Responses, faults: Faults) -> None:
    """Compare everything that was asked for at this door. The system is whole again; in here, Redis loses its data."""
    system = faults.system
    accepted = [asked for asked in responses.asked if asked.response_id]
    verdict.responses = len(accepted)
    for asked in responses.asked:
        if not (asked.response_id or asked.is_refused):
            verdict.stuck.append(f"{asked.key}: neither accepted nor refused")
    await _judge_made(verdict, accepted, system.postgres.url)
    there = [asked for asked in accepted if asked.is_stored or _ended_lately(asked)]
    await _read_again(verdict, responses, there, "its log")
    await system.crash_valkey(wipe=True)
    await _read_again(verdict, responses, there, "its row")
    for asked in accepted:
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                row, generation = await _look(responses, asked) if asked in there else (asked.row, None)
        except TimeoutError:
            verdict.lost.append(f"{asked.response_id}: can't be looked at")
            continue
        if row is None or row["status"] not in OVER:
            verdict.stuck.append(f"{asked.response_id}: {row and row['status']}")
            continue
        if asked.row not in (None, row):
            verdict.mismatched.append(f"{asked.response_id}: GET {row}, before {asked.row}")
        cut_short = row["status"] == "cancelled" and _lost_its_end(asked, row, faults)
        verdict.responses_cut_short += cut_short
        _judge_response(verdict, asked, row, generation, cut_short=cut_short)


def _lost_its_end(asked: Asked, row: Json, faults: Faults) -> bool:
    """Whether the last characters of a cancelled answer went with Redis's data (docs/protocol.md, "Two crashes at once").

    Its row has the beginning of what its first reader got then, and Redis lost its data while that one read.
    """
    first = asked.views[0] if asked.views else None
    if first is None or first.text == text_of(row) or not first.text.startswith(text_of(row)):
        return False
    wipes = [(begin, end) for kind, begin, end in faults.happened if kind == "Redis kill -9 and wipe"]
    return any(begin <= first.last_at and end >= asked.began for begin, end in wipes)


async def _look(responses: Responses, asked: Asked) -> tuple[Json, Json | None]:
    """The response, and its generation where that has a receipt to be compared with."""
    row = await responses.load.ask("GET", asked.path, asked.token)
    if asked.receipt is None:
        return row, None
    path = f"/api/generations/{UUID(asked.response_id.removeprefix('resp_'))}"
    return row, await responses.load.ask("GET", path, asked.token)


def _ended_lately(asked: Asked) -> bool:
    return bool(asked.views) and time.monotonic() - asked.views[0].last_at < UNSTORED_SECONDS


async def _judge_made(verdict: Verdict, accepted: Sequence[Asked], database_url: str) -> None:
    """Each key has one generation, each generation is one that somebody knows, and each has its two messages."""
    async with await psycopg.AsyncConnection.connect(database_url) as db:
        rows = await (await db.execute(_MADE)).fetchall()
    made: defaultdict[str, list[str]] = defaultdict(list)
    for generation_id, key, _, _ in rows:
        made[key].append(f"resp_{generation_id.hex}")
    known = {asked.key: asked for asked in accepted}
    for key, ids in made.items():
        if key not in known or ids != [known[key].response_id]:
            verdict.doubled.append(f"{key}: made {ids}, told {key in known and known[key].response_id}")
    verdict.lost += [
        f"{asked.response_id}: accepted, and there is none"
        for asked in accepted
        if asked.is_stored and not made[asked.key]
    ]
    in_chat = Counter(chat_id for _, _, chat_id, _ in rows)
    for chat_id, messages in {(chat_id, messages) for _, _, chat_id, messages in rows}:
        if messages != 2 * in_chat[chat_id]:
            kind = verdict.lost if messages < 2 * in_chat[chat_id] else verdict.doubled
            kind.append(f"conversation {chat_id}: {in_chat[chat_id]} responses, {messages} messages")


async def _read_again(verdict: Verdict, responses: Responses, there: Sequence[Asked], source: str) -> None:
    """Read all responses once more, from their beginnings."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Asked) -> None:
        view = ResponseView(asked.meanings)
        asked.views.append(view)
        try:
            async with gate, asyncio.timeout(STUCK_SECONDS):
                while not view.done:
                    try:
                        await responses.read(asked, view)
                    except FAILURES:
                        await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            verdict.stuck.append(f"{asked.response_id}: from {source}, its stream does not end")

    await asyncio.gather(*map(one, there))


def _judge_response(
    verdict: Verdict, asked: Asked, row: Json, generation: Json | None, *, cut_short: bool = False
) -> None:
    """Everything that was told about a response, against its row. One that is `cut_short` has less text than readers got."""
    name = f"{asked.response_id} ({row['status']})"
    verdict.responses_ended[row["error"]["code"] if row["error"] else row["status"]] += 1
    text, whole = text_of(row), "".join(f"t{number} " for number in range(1, asked.tokens + 1))
    verdict.tokens += len(text.split())
    if row["status"] == "completed" and text != whole:
        verdict.lost.append(f"{name}: {asked.tokens} tokens asked, saved {text[-60:]!r} of {len(text.split())}")
    elif not whole.startswith(text):
        verdict.doubled.append(f"{name}: saved …{text[-60:]!r}, not the beginning of the answer")
    for view in asked.views:
        _judge_view(verdict, name, view, row, cut_short=cut_short)
    for line in asked.wrong:
        _note(verdict, name, line)
    for told in asked.whole:
        if without_reasoning(told) != without_reasoning(row):
            verdict.mismatched.append(f"{name}: told as one {told}, GET {row}")
    if asked.receipt is not None and generation is not None:
        expected = (generation["status"], generation["final_sequence"])
        got = (asked.receipt["status"], asked.receipt["sequence"])
        if got[0] != expected[0] or got[1] not in {None, expected[1]}:
            verdict.mismatched.append(f"{name}: receipt {got}, generation {expected}")


def _judge_view(verdict: Verdict, name: str, view: ResponseView, row: Json, *, cut_short: bool) -> None:
    """Deltas, terminal event and row have one text; the terminal event has the whole response."""
    verdict.responses_readers += 1
    verdict.responses_connections += view.connections
    for line in view.wrong:
        if not (cut_short and line.startswith("mismatched: number ")):
            _note(verdict, name, line)
    if not view.done:
        verdict.stuck.append(f"{name}: a reader at {view.number}")
        return
    if view.text != text_of(row) and not (cut_short and view.text.startswith(text_of(row))):
        verdict.mismatched.append(f"{name}: read …{view.text[-40:]!r}, GET …{text_of(row)[-40:]!r}")
    kind = row["status"] if row["status"] in {"completed", "failed"} else "incomplete"
    if view.terminal and view.terminal != f"response.{kind}":
        verdict.mismatched.append(f"{name}: {view.terminal}")
    if view.final is not None and without_reasoning(view.final) != without_reasoning(row):
        verdict.mismatched.append(f"{name}: the terminal event has {view.final}, GET {row}")


def _note(verdict: Verdict, name: str, line: str) -> None:
    """Note what a reader found, under what it says that it is."""
    kinds: dict[str, list[Any]] = {"doubled": verdict.doubled, "lost": verdict.lost, "mismatched": verdict.mismatched}
    kinds[line.partition(":")[0]].append(f"{name}: {line}")
