"""The reckoning: what readers saw, against what was saved, against what was asked."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from chaos_faults import Faults
from chaos_load import Load, Turn
from chaos_readers import Follower, View

STUCK_SECONDS: Final = 60.0
SHOWN: Final = 10
BEFORE: Final = 0.5
"""Seconds by which a silence may begin before the fault that it is blamed on."""


@dataclass
class Verdict:
    """What came out. Each list has one line for each violation."""

    accepted: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    readers: int = 0
    connections: int = 0
    resets: int = 0
    tokens: int = 0
    responses: int = 0
    responses_ended: Counter[str] = field(default_factory=Counter)
    responses_readers: int = 0
    responses_connections: int = 0
    responses_cut_short: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    refusals: dict[int, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    recovery: dict[str, list[float]] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether every promise was."""
        return not (self.lost or self.doubled or self.mismatched or self.stuck or self.bad)


async def judge(load: Load, faults: Faults) -> Verdict:
    """Compare everything. The system is whole again."""
    verdict = Verdict(accepted=len(load.turns), refusals=load.refusals, bad=[*load.bad, *faults.bad_exits])
    verdict.faults.update(kind for kind, _, _ in faults.happened)
    chats: dict[int, list[Turn]] = {}
    for turn in load.turns:
        chats.setdefault(turn.chat_id, []).append(turn)
    for chat_id, turns in chats.items():
        chat = await load.ask("GET", f"/api/chats/{chat_id}", turns[0].token)
        said = chat["messages"]
        while older := said and await load.ask(
            "GET", f"/api/chats/{chat_id}/messages?before={said[0]['position']}", turns[0].token
        ):
            said = older + said
        _judge_chat(verdict, chat_id, said, turns)
        messages = {message["id"]: message for message in said}
        for turn in turns:
            await _judge_turn(verdict, load, turn, messages)
    return verdict


def _judge_chat(verdict: Verdict, chat_id: int, messages: list[dict[str, Any]], turns: list[Turn]) -> None:
    """Positions are 1 to n; what was accepted is there, once."""
    positions = [message["position"] for message in messages]
    if positions != list(range(1, len(positions) + 1)):
        verdict.doubled.append(f"chat {chat_id}: positions {positions}")
    generations = Counter(turn.generation_id for turn in turns)
    for generation_id, count in generations.items():
        if count > 1:
            verdict.doubled.append(f"{generation_id}: {count} messages were answered by it")
    if len(messages) != 2 * len(turns):
        kind = verdict.lost if len(messages) < 2 * len(turns) else verdict.doubled
        kind.append(f"chat {chat_id}: {len(turns)} messages accepted, {len(messages)} saved with their replies")


async def _judge_turn(verdict: Verdict, load: Load, turn: Turn, messages: dict[int, dict[str, Any]]) -> None:
    generation = await load.ask("GET", f"/api/generations/{turn.generation_id}", turn.token)
    name = f"{turn.generation_id} (attempt {generation['attempt']}, {generation['status']})"
    verdict.ended[generation["error_code"] or generation["status"]] += 1
    if generation["status"] not in {"completed", "failed", "cancelled"}:
        verdict.stuck.append(f"{name}: not over")
        return
    content = messages[generation["assistant_message_id"]]["content"]
    whole = "".join(f"t{number} " for number in range(1, turn.tokens + 1))
    if generation["status"] == "completed" and content != whole:
        verdict.lost.append(f"{name}: {turn.tokens} tokens asked, saved {content[-60:]!r} of {len(content.split())}")
    elif not whole.startswith(content):
        verdict.doubled.append(f"{name}: saved …{content[-60:]!r}, not the beginning of the answer")
    verdict.tokens += len(content.split())
    late = View()
    follower = Follower(load.http, load.urls, turn.headers, load.rng, load.bad)
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            await follower.follow(turn.stream, late)
    except TimeoutError:
        verdict.stuck.append(f"{name}: its stream does not end")
    for view in (*turn.views, late):
        verdict.readers += 1
        verdict.connections += view.connections
        verdict.resets += view.resets
        for wrong in view.wrong:
            (verdict.doubled if wrong.startswith("doubled") else verdict.lost).append(f"{name}: {wrong}")
        if not view.done:
            verdict.stuck.append(f"{name}: a reader at {view.event_id or 'its beginning'}")
        elif view.text != content:
            verdict.mismatched.append(f"{name}: read …{view.text[-40:]!r}, saved …{content[-40:]!r}")
    _judge_receipt(verdict, name, turn, generation)


def _judge_receipt(verdict: Verdict, name: str, turn: Turn, generation: dict[str, Any]) -> None:
    """A receipt's sequence is that of the terminal frame."""
    if turn.receipt is None or turn.receipt["sequence"] is None:
        return
    if turn.receipt["sequence"] != generation["final_sequence"]:
        verdict.mismatched.append(f"{name}: receipt {turn.receipt['sequence']}, row {generation['final_sequence']}")
    if turn.receipt["status"] != generation["status"]:
        verdict.mismatched.append(f"{name}: receipt {turn.receipt['status']}")


def blame(verdict: Verdict, silences: Iterable[tuple[float, float]], faults: Faults) -> None:
    """Ascribe each silence of a reader to the faults that it overlaps."""
    for begin, end in silences:
        blamed = {kind for kind, at, mended in faults.happened if at >= begin - BEFORE and at <= end}
        for kind in blamed or {"none"}:
            verdict.recovery.setdefault(kind, []).append(end - begin)
        if blamed:
            verdict.recovery.setdefault("any", []).append(end - begin)


def print_verdict(verdict: Verdict) -> None:
    """Print the table."""
    rows = {
        "messages accepted": verdict.accepted,
        "ended": ", ".join(f"{status} {count}" for status, count in verdict.ended.most_common()),
        "refused": ", ".join(f"{status}: {count}" for status, count in sorted(verdict.refusals.items())) or 0,
        "readers": verdict.readers,
        "connections": verdict.connections,
        "told to begin anew": verdict.resets,
        "tokens": verdict.tokens,
        "responses accepted": verdict.responses,
        "responses ended": ", ".join(f"{status} {count}" for status, count in verdict.responses_ended.most_common()),
        "readers of responses": verdict.responses_readers,
        "connections of these": verdict.responses_connections,
        "cancelled while Redis lost the end": verdict.responses_cut_short,
        **{f"fault: {kind}": count for kind, count in verdict.faults.most_common()},
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "mismatched": len(verdict.mismatched),
        "stuck": len(verdict.stuck),
        "bad answers or exits": len(verdict.bad),
    }
    for name, value in rows.items():
        print(f"{name:32} {value}")
    print(f"{'silence of > 1 s after':32} {'n':>6} {'p50':>7} {'p99':>7} {'max':>7} s")
    for kind, silences in sorted(verdict.recovery.items(), key=lambda item: -len(item[1])):
        ordered = sorted(silences)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        print(f"{kind:32} {len(ordered):6} {p50:7.1f} {p99:7.1f} {ordered[-1]:7.1f}")
    for name in ("lost", "doubled", "mismatched", "stuck", "bad"):
        for line in getattr(verdict, name)[:SHOWN]:
            print(f"{name}: {line}")
