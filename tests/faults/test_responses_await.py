"""A response proposes a change of a sandbox, or takes items that waited, and everything dies from then on.

One response goes on, one change is made, each item is told and listed once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NamedTuple
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.doubles import groq_control
from tests.support.clients import NO_TLS, numbered
from tests.support.interrupted import GATES, RAISE, TOLD, WITHIN, Stage
from tests.support.openai_events import Json, Refused, ResponseReader
from tests.support.system import POLL

OWN_TOOLS = [{"type": "mcp", "server_label": "cortexai", "allowed_tools": ["db_propose_write"]}]
CONTINUED = 6
"""Tokens of the answer that goes on; it is held after two of them."""


class Proposal(NamedTuple):
    """A request whose answer proposes a change. The model is held at these gates: before the proposal, and when it goes on."""

    request: Json
    marker: str
    before: str
    behind: str


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A client of OpenAI's door."""
    headers = {"Authorization": stage.user.http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=stage.user.urls[0], verify=NO_TLS, timeout=WITHIN, headers=headers) as opened:
        yield opened


async def _propose(stage: Stage, *, is_held: bool) -> Proposal:
    marker, before, behind = (uuid4().hex for _ in range(3))
    change = {"source": stage.source, "sql": RAISE, "summary": "Raise the price by 1."}
    hold = f"after=2 hold={before}" if is_held else "after=2"
    # Once more for a worker that takes over: it asks the model anew.
    await groq_control.script(
        stage.groq_url, f"tool=db_propose_write {hold}", times=1 + is_held, marker=marker, arguments=change
    )
    said = f"{marker} [[tokens={CONTINUED} after=2 hold={behind}]]"
    return Proposal({"model": "double", "input": said, "tools": OWN_TOOLS}, marker, before, behind)


def _decision(asked_for: Json, *, approve: bool) -> Json:
    (request,) = [item for item in asked_for["output"] if item["type"] == "mcp_approval_request"]
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
    return {"model": "double", "previous_response_id": asked_for["id"], "tools": OWN_TOOLS, "input": [answer]}


async def _until_it_works(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask again what was not answered, or not to the end."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                return await ask()
            except (httpx.TransportError, Refused):
                await asyncio.sleep(POLL)


@asynccontextmanager
async def _held_at(stage: Stage, step: str) -> AsyncIterator[None]:
    """Whoever comes to this step waits until the end of the block."""
    gate = await psycopg.AsyncConnection.connect(stage.system.env["DATABASE_URL"], autocommit=True)
    async with gate:
        await gate.execute("SELECT pg_advisory_lock(%s)", [GATES[step][0]])
        yield


async def _judge(stage: Stage, http: httpx.AsyncClient, pieces: list[Json], response: Json, decision: str) -> None:
    """A new reader gets all that was read in pieces, from the log and from the row. There is one answer, and one decision."""
    assert response["status"] == "completed"
    items = response["output"]
    assert [item["type"] for item in items] == ["message", "mcp_call", "mcp_approval_request", "message"]
    assert items[1]["status"] == ("completed" if decision == "committed" else "failed")
    assert items[3]["content"][0]["text"].lstrip() == numbered(CONTINUED)
    numbers = [event["sequence_number"] for event in pieces]
    assert all(before < after for before, after in pairwise(numbers))
    for source in ("log", "row"):
        whole = ResponseReader(http, id=response["id"])
        await _until_it_works(whole.resume)
        assert whole.events == pieces, source
        assert (await http.get(f"/v1/responses/{response['id']}")).json() == response
        await stage.system.lose_redis()
    assert stage.system.ask("SELECT status FROM operations") == [(decision,)]
    assert stage.system.count("generations") == 1


async def test_an_approved_change_is_made_once_in_one_response_whoever_dies(
    stage: Stage, http: httpx.AsyncClient
) -> None:
    before = await stage.price()
    asked = await _propose(stage, is_held=True)

    # While the answer is made before the proposal.
    first = ResponseReader(http)
    asking = asyncio.create_task(first.ask(asked.request))
    await groq_control.requests(stage.groq_url, containing=asked.marker, held=1, within=WITHIN)
    await stage.replace_worker()
    await stage.expire_leases()
    await groq_control.release(stage.groq_url, asked.before)
    await asking
    asked_for = first.final
    assert asked_for["incomplete_details"] == {"reason": "approval_required"}

    # While it waits.
    await stage.replace_worker()
    await stage.system.lose_redis()
    await stage.replace_api()
    waiting = ResponseReader(http, id=first.id)
    await _until_it_works(waiting.resume)
    assert waiting.events == first.events

    # Right after the approval was accepted: its request is not answered.
    approve = _decision(asked_for, approve=True)
    async with _held_at(stage, "claiming"):
        unheard = ResponseReader(http)
        approving = asyncio.create_task(unheard.ask(approve))
        await stage.at_gate("claiming")
        await stage.replace_api()
        await stage.replace_worker()
    with pytest.raises(httpx.TransportError):
        await approving
    await stage.expire_leases()

    # In the answer that goes on.
    second = ResponseReader(http)
    approving = asyncio.create_task(second.ask(approve))
    await groq_control.requests(stage.groq_url, containing=asked.marker, held=1, within=WITHIN)
    await stage.replace_worker()
    await stage.expire_leases()
    await stage.replace_api()
    with pytest.raises(httpx.TransportError):
        await approving
    await groq_control.release(stage.groq_url, asked.behind)
    while not second.done:
        await _until_it_works(second.resume)

    assert second.id == first.id
    assert second.final["output"][0]["content"][0]["text"] == numbered(4)
    assert second.events[0]["response"]["output"] == asked_for["output"]
    assert await stage.price() == before + 1
    await _judge(stage, http, [*first.events[:-1], *second.events[2:]], second.final, "committed")
    told = await groq_control.requests(stage.groq_url, containing=asked.marker)
    assert TOLD["committed"] in str(told[-1]["body"])


@pytest.mark.parametrize(("route", "decision"), [("door", "refused"), ("device", "refused"), ("device", "committed")])
async def test_a_decision_of_any_kind_lets_the_same_response_go_on(
    stage: Stage, http: httpx.AsyncClient, route: str, decision: str
) -> None:
    before = await stage.price()
    asked = await _propose(stage, is_held=False)
    await groq_control.release(stage.groq_url, asked.behind)
    reader = ResponseReader(http)
    await reader.ask(asked.request)
    asked_for, pieces = reader.final, reader.events[:-1]
    if route == "door":
        answered = await http.post("/v1/responses", json=_decision(asked_for, approve=False))
        assert answered.json()["id"] == reader.id
    else:
        (operation,) = (await stage.user.send("GET", "/api/operations")).json()
        verb = "approve" if decision == "committed" else "refuse"
        body = {"digest": operation["digest"]} if verb == "approve" else None
        await stage.user.send("POST", f"/api/operations/{operation['id']}/{verb}", json=body)
    reader.events, reader.done = [], False
    await reader.resume()
    assert await stage.price() == before + (decision == "committed")
    await _judge(stage, http, [*pieces, *reader.events], reader.final, decision)


async def test_items_that_a_response_took_stay_in_its_conversation_once_whoever_dies(
    stage: Stage, http: httpx.AsyncClient
) -> None:
    marker, gate = uuid4().hex, uuid4().hex
    notes = [{"role": role, "content": f"{role} {marker}"} for role in ("developer", "user")]
    (await http.post("/v1/conversations", json={"items": notes[:1]})).raise_for_status()  # another one's, left alone
    made = await http.post("/v1/conversations", json={"items": notes[:1]})
    items = f"/v1/conversations/{made.json()['id']}/items"
    (await http.post(items, json={"items": notes[1:]})).raise_for_status()
    waiting = [item["id"] for item in (await http.get(items, params={"order": "asc"})).json()["data"]]
    said = f"{marker} [[tokens={CONTINUED} after=2 hold={gate}]]"
    asked = {"model": "double", "input": said, "conversation": made.json()["id"]}
    key = {"Idempotency-Key": uuid4().hex}

    # Between two tokens. Who asked is not answered.
    asking = asyncio.create_task(http.post("/v1/responses", json=asked, headers=key))
    await groq_control.requests(stage.groq_url, containing=marker, held=1, within=WITHIN)
    await stage.replace_worker()
    await stage.expire_leases()
    await stage.replace_api()
    with pytest.raises(httpx.TransportError):
        await asking
    await stage.system.lose_redis()
    await groq_control.release(stage.groq_url, gate)

    answered = await http.post("/v1/responses", json=asked, headers=key, timeout=WITHIN)
    assert answered.json()["output"][0]["content"][0]["text"] == numbered(CONTINUED)
    listed = (await http.get(items, params={"order": "asc"})).json()["data"]
    assert [item["id"] for item in listed[:2]] == waiting
    assert [item["content"][0]["text"] for item in listed] == [
        *(str(note["content"]) for note in notes),
        said,
        numbered(CONTINUED),
    ]
    assert stage.system.count("generations") == 1
    requests = await groq_control.requests(stage.groq_url, containing=said)
    assert len(requests) > 1
    for request in requests:
        told = [str(message["content"]) for message in request["body"]["messages"]]
        assert [text for text in told if marker in text] == [*(note["content"] for note in notes), said]
