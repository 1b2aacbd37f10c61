"""Approvals at the AI SDK's door, by requests as useChat makes them. tests/clients has the SDK itself make them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal
from uuid import uuid4

import pytest
from redis import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.generations.attempt import Attempts
from services.worker.runtime import Worker
from shared.database.engine import open_database
from shared.ids import GenerationId
from shared.settings import Settings
from shared.streams.names import log_key
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.ai_sdk import SdkChat, generation_of, user_message
from tests.support.asking import NAME, Asking
from tests.support.clients import Client, Event, numbered, refusal_of, text_of, types_of
from tests.support.turns import execute

KNOWS = {"X-AI-SDK-Approvals": "1"}
WHOLE = numbered(2) + "\n\n" + numbered(4)
ASKED = ["data-approval", "tool-input-available", "tool-approval-request"]


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """With frequent pings."""
    return settings_for(database_url, valkey.url, groq_url, stream_keep_alive_seconds=0.2)


@pytest.fixture
async def asking(settings: Settings) -> AsyncIterator[Asking]:
    """The tool, and decisions from elsewhere."""
    database = open_database(settings.database_url, pool_size=2)
    yield Asking(database)
    await database.dispose()


@pytest.fixture
def attempts(worker: Worker, asking: Asking) -> Attempts:
    """The worker's attempts, with the tool."""
    return asking.attempts(worker.attempts)


@pytest.fixture
def sdk(client: Client) -> SdkChat:
    """A chat of a client that knows approvals."""
    client.http.headers.update(KNOWS)
    return SdkChat(client)


async def script(groq_url: str, wishes: int = 1) -> str:
    """A message whose answer says two words, asks a person, and says four words."""
    mark = uuid4().hex
    arguments: Any = [{"what": f"{mark} {number}"} for number in range(wishes)] if wishes > 1 else {"what": mark}
    await groq_control.script(groq_url, f"tool={NAME} after=2", marker=mark, arguments=arguments)
    return f"{mark} [[tokens=4]]"


async def ask(sdk: SdkChat, attempts: Attempts, groq_url: str, wishes: int = 1) -> tuple[GenerationId, list[Event]]:
    """Send such a message. Returns its generation, which waits, and the body of the answer so far."""
    async with sdk.open(user_message(await script(groq_url, wishes))) as stream:
        generation_id = generation_of(stream.response)
        making = asyncio.create_task(attempts.run(generation_id))
        events = await stream.all()
        await making
        assert stream.done
    return generation_id, events


def reply_to(events: list[Event], *answers: Literal["approve", "refuse"]) -> dict[str, Any]:
    """The last message of a client that has these frames, whose user has answered the requests in their order."""
    requests = [event.part for event in events if event.part["type"] == "tool-approval-request"]
    parts = [
        {
            "type": "dynamic-tool",
            "toolCallId": request["toolCallId"],
            "state": "approval-responded",
            "approval": {"id": request["approvalId"], "approved": answer == "approve", "reason": "because"},
        }
        for request, answer in zip(requests, answers, strict=False)
    ]
    return {"id": events[0].part["messageId"], "role": "assistant", "parts": [{"type": "step-start"}, *parts]}


async def decide(sdk: SdkChat, events: list[Event], *answers: Literal["approve", "refuse"]) -> list[Event]:
    """Answer the requests, and read the body that this gives."""
    async with sdk.open(reply_to(events, *answers)) as stream:
        assert stream.response.status_code == 200
        return await stream.all()


async def go_on(attempts: Attempts, generation_id: GenerationId, reading: "asyncio.Task[Any]") -> Any:  # noqa: ANN401
    """Make the rest of the answer. Returns what the reader has."""
    await attempts.run(generation_id)
    return await reading


def kinds(events: list[Event]) -> list[str]:
    """The types of the frames, without those of the status."""
    return [kind for kind in types_of(events) if kind != "data-status"]


async def test_the_body_ends_where_a_person_has_to_decide(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    _, events = await ask(sdk, attempts, groq_url)
    before = ["start", "start-step", "text-start", "text-delta", "text-end", "tool-input-available"]
    assert kinds(events) == before + ASKED
    first, again, request = (event.part for event in (events[-4], events[-2], events[-1]))
    assert again == {**first, "providerExecuted": False}
    proposed = str(asking.proposed[0])
    assert request == {"type": "tool-approval-request", "approvalId": proposed, "toolCallId": first["toolCallId"]}
    assert execute(database_url, "SELECT status FROM generations") == [("awaiting_approval",)]


async def test_a_client_that_knows_no_approvals_has_one_body_over_the_wait(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str
) -> None:
    client.http.headers["User-Agent"] = "ai-sdk/5.0.150 runtime/node.js/22"
    async with SdkChat(client).open(user_message(await script(groq_url))) as stream:
        generation_id = generation_of(stream.response)
        reading = asyncio.create_task(stream.all())
        await attempts.run(generation_id)
        await asking.decide("refused")
        events = await go_on(attempts, generation_id, reading)
    assert text_of(events) == WHOLE
    assert "tool-output-error" in kinds(events)
    assert {"tool-approval-request", "tool-output-denied"}.isdisjoint(kinds(events))


async def test_an_approval_streams_the_rest_alone(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    async with sdk.open(reply_to(before, "approve")) as stream:
        reading = asyncio.create_task(stream.all())
        assert execute(database_url, "SELECT status, decided_by FROM operations") == [("approved", "access_token")]
        await asking.decide("committed", counts={"updated": 3})
        after = await go_on(attempts, generation_id, reading)
        assert stream.done
    assert kinds(after) == [
        *("start", "start", "data-approval", "tool-output-available", "finish-step"),
        *("start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"),
    ]
    assert after[0].part["messageId"] == before[0].part["messageId"]
    assert text_of(before) + text_of(after) == WHOLE
    again = await decide(sdk, before, "approve")  # sent again, as after a timeout
    assert again == after


async def test_a_refusal_is_told_as_a_denial(sdk: SdkChat, attempts: Attempts, groq_url: str) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    async with sdk.open(reply_to(before, "refuse")) as stream:
        reading = asyncio.create_task(stream.all())
        after = await go_on(attempts, generation_id, reading)
    (denied,) = [event.part for event in after if event.part["type"] == "tool-output-denied"]
    assert denied == {"type": "tool-output-denied", "toolCallId": before[-1].part["toolCallId"]}
    assert "tool-output-error" not in kinds(after)
    assert kinds(after)[-1] == "finish"
    (tool,) = [part for part in (await sdk.view())[-1]["parts"] if part["type"] == "dynamic-tool"]
    assert (tool["state"], tool["approval"]["approved"], "errorText" in tool) == ("output-denied", False, False)


async def test_an_answer_to_one_of_two_requests_ends_at_once(
    sdk: SdkChat, attempts: Attempts, groq_url: str, database_url: str
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url, wishes=2)
    assert kinds(before)[-6:] == ASKED * 2
    assert kinds(await decide(sdk, before, "refuse")) == ["start"]
    decided = "SELECT status FROM operations ORDER BY status"
    assert execute(database_url, decided) == [("proposed",), ("refused",)]
    (shown,) = [message for message in await sdk.view() if message["role"] == "assistant"]
    assert [part["state"] for part in shown["parts"] if part["type"] == "dynamic-tool"] == [
        *("approval-responded", "approval-requested"),
    ]
    async with sdk.open(reply_to(before, "refuse", "refuse")) as stream:
        reading = asyncio.create_task(stream.all())
        after = await go_on(attempts, generation_id, reading)
    assert kinds(after).count("tool-output-denied") == 2
    assert kinds(after)[-1] == "finish"


async def test_an_answer_that_asks_again_ends_its_body_again(sdk: SdkChat, attempts: Attempts, groq_url: str) -> None:
    mark = uuid4().hex
    for word in ("once", "twice"):
        behaviour = f"tool={NAME} after=2 steps=2"
        await groq_control.script(groq_url, behaviour, marker=mark, arguments={"what": f"{mark} {word}"})
    async with sdk.open(user_message(f"{mark} [[tokens=4]]")) as stream:
        generation_id = generation_of(stream.response)
        reading = asyncio.create_task(stream.all())
        bodies = [await go_on(attempts, generation_id, reading)]
    for _ in range(2):
        async with sdk.open(reply_to(bodies[0][:1] + bodies[-1], "refuse")) as stream:
            reading = asyncio.create_task(stream.all())
            bodies.append(await go_on(attempts, generation_id, reading))
    assert [kinds(body)[-1] for body in bodies] == ["tool-approval-request", "tool-approval-request", "finish"]
    assert [kinds(body).count("tool-output-denied") for body in bodies] == [0, 1, 1]
    whole = await sdk.resume()
    assert whole is not None
    assert "".join(map(text_of, bodies)) == text_of(whole)


@pytest.mark.parametrize(("status", "state"), [("refused", "output-denied"), ("stale", "output-error")])
async def test_a_view_of_a_second_wait_shows_what_became_of_the_first(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, status: str, state: str
) -> None:
    mark = uuid4().hex
    for word in ("once", "twice"):
        await groq_control.script(groq_url, f"tool={NAME} steps=2", marker=mark, arguments={"what": f"{mark} {word}"})
    async with sdk.open(user_message(f"{mark} [[tokens=4]]")) as stream:
        generation_id = generation_of(stream.response)
        await attempts.run(generation_id)
    await asking.decide(status)
    await attempts.run(generation_id)
    (shown,) = [message for message in await sdk.view() if message["role"] == "assistant"]
    first, second = (part for part in shown["parts"] if part["type"] == "dynamic-tool")
    assert (first["state"], second["state"]) == (state, "approval-requested")
    assert ("errorText" in first) == (state == "output-error")
    assert "errorText" not in second


async def test_what_another_device_has_decided_stays_so_and_the_rest_comes(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    await asking.decide("refused")
    await attempts.run(generation_id)
    after = await decide(sdk, before, "approve")
    assert "tool-output-denied" in kinds(after)
    assert text_of(before) + text_of(after) == WHOLE
    assert execute(database_url, "SELECT status FROM operations") == [("refused",)]
    whole = await sdk.resume()
    assert whole is not None
    assert text_of(whole) == WHOLE
    assert kinds(whole)[: len(kinds(before))] == kinds(before)


@pytest.mark.parametrize("is_over", [False, True])
async def test_the_rest_comes_though_the_log_was_lost(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, valkey: EmbeddedValkey, is_over: bool
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    if is_over:
        await asking.decide("committed")
        await attempts.run(generation_id)
    with Redis.from_url(valkey.url) as redis:
        assert redis.delete(log_key(generation_id)) == 1
    async with sdk.open(reply_to(before, "refuse")) as stream:
        reading = asyncio.create_task(stream.all())
        after = await go_on(attempts, generation_id, reading)
    assert text_of(after).strip() == numbered(4).strip()
    outcome = "tool-output-available" if is_over else "tool-output-denied"
    assert kinds(after)[0] == "start"
    assert outcome in kinds(after)
    assert "tool-input-available" not in kinds(after)
    assert kinds(after)[-1] == "finish"


async def test_a_page_that_is_loaded_while_the_answer_waits_can_answer(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    _, shown = await sdk.view()
    assert "status" not in shown["metadata"]
    tool = shown["parts"][2]
    assert (tool["state"], tool["approval"]) == ("approval-requested", {"id": str(asking.proposed[0])})
    assert tool["providerExecuted"] is False
    assert await sdk.resume() is None
    again = await sdk.resume()  # another tab, whose view was used up
    assert again is not None
    assert kinds(again) == kinds(before)
    async with sdk.open(reply_to(before, "refuse")) as stream:
        reading = asyncio.create_task(stream.all())
        after = await go_on(attempts, generation_id, reading)
    assert text_of(before) + text_of(after) == WHOLE


async def test_a_page_that_was_shown_the_wait_is_told_what_came_since(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str
) -> None:
    generation_id, _ = await ask(sdk, attempts, groq_url)
    await sdk.view()
    await asking.decide("committed")
    await attempts.run(generation_id)
    whole = await sdk.resume()
    assert whole is not None
    assert text_of(whole) == WHOLE


async def test_to_other_clients_the_view_leaves_out_an_answer_that_waits(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str
) -> None:
    generation_id, _ = await ask(sdk, attempts, groq_url)
    sdk.client.http.headers["X-AI-SDK-Approvals"] = "0"
    assert [message["role"] for message in await sdk.view()] == ["user"]
    reading = asyncio.create_task(sdk.resume())
    await asking.decide("committed")
    assert text_of(await go_on(attempts, generation_id, reading)) == WHOLE


async def test_a_proposal_past_its_time_asks_nobody(
    sdk: SdkChat, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    generation_id, before = await ask(sdk, attempts, groq_url)
    execute(database_url, "UPDATE operations SET expires_at = now()")
    async with sdk.open(reply_to(before, "approve")) as stream:
        # A body that ended here would have useChat send the same again, and again.
        events = stream.events()
        started, going_on = await anext(events), asyncio.ensure_future(anext(events))
        stream.commented.clear()
        pinged = asyncio.create_task(stream.commented.wait())
        await asyncio.wait({going_on, pinged}, return_when=asyncio.FIRST_COMPLETED)
        assert not going_on.done()
        await asking.decide("expired")
        await attempts.run(generation_id)
        after = [started, await going_on, *[event async for event in events]]
    assert kinds(after)[-1] == "finish"


async def test_answers_about_nothing_of_this_chat_are_refused(
    sdk: SdkChat, attempts: Attempts, groq_url: str, connect: Callable[[], Client], database_url: str
) -> None:
    _, before = await ask(sdk, attempts, groq_url)
    stranger = connect()
    await stranger.sign_up()
    for other in (SdkChat(sdk.client), SdkChat(stranger, sdk.id)):
        await other.post(user_message("Hello"))
        assert refusal_of(await other.post(reply_to(before, "approve"))) == (409, "approval_not_pending")
    assert refusal_of(await SdkChat(sdk.client, "new").post(reply_to(before, "approve"))) == (
        409,
        "approval_not_pending",
    )
    assert execute(database_url, "SELECT status FROM operations") == [("proposed",)]
