"""fetch-event-source leaves a stream when its tab is hidden, and POSTs again when the tab is shown: never a second message."""

import asyncio
import json
from collections.abc import Callable
from uuid import UUID, uuid4

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.clients.programs import Program
from tests.doubles import groq_control
from tests.support.clients import Client, numbered

TIMES = 20


async def test_a_tab_that_is_hidden_and_shown_again_and_again_gets_one_answer_to_one_message(
    client: Client, worker: Worker, node: Callable[[str], Program], groq_url: str
) -> None:
    chat, gate = await client.new_chat(), uuid4().hex
    token = client.token
    body = json.dumps({"content": f"[[tokens=30 after=10 hold={gate}]]"})
    url = f"{client.http.base_url}/api/chats/{chat}/messages"
    said = ""
    making: asyncio.Task[None] | None = None
    async with node("fetch-event-source.mjs").running(url, token, body) as tab:
        async for line in tab.lines():
            event = json.loads(line)
            if event["data"] == "[DONE]":
                continue
            part = json.loads(event["data"])
            assert part["type"] != "data-reset"
            if making is None:  # the place in the queue, which is in no log
                for _ in range(TIMES):
                    await tab.tell("hide and show")
                made = (await client.messages(chat))[1]["generation"]["id"]
                making = asyncio.create_task(worker.attempts.run(GenerationId(UUID(made))))
            said += part.get("delta", "")
            if part["type"] == "text-delta" and said == numbered(10):
                for _ in range(TIMES):
                    await tab.tell("hide and show")
                await groq_control.release(groq_url, gate)
    assert making is not None
    await making
    assert said == numbered(30)
    assert len(await client.messages(chat)) == 2
