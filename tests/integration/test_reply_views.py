"""Replies as the chat's view tells them: what a client has after a reload is what it had from the stream."""

from services.worker.runtime import Worker
from tests.support.clients import Client
from tests.support.turns import answer, execute, post, speaking


async def test_a_failed_answer_says_after_a_reload_why_it_failed(client: Client, worker: Worker) -> None:
    posted, events = await answer(client, worker, "[[tokens=40 fault=400]]")
    _, reply = await client.messages(posted.chat_id)
    error = events[-2].part["data"]
    assert reply["parts"] == [{"type": "step-start"}, {"type": "data-error", "id": "error", "data": error}]
    assert reply["generation"] == {
        "id": str(posted.generation_id),
        "status": "failed",
        "is_final": True,
        "finish_reason": None,
        "error": {"code": "model_rejected", "message": events[-1].part["errorText"]},
        "stream_url": posted.stream_url,
    }


async def test_a_whole_answer_is_told_with_its_generation(client: Client, worker: Worker) -> None:
    posted, _ = await answer(client, worker, "[[tokens=4 fault=length]]")
    question, reply = await client.messages(posted.chat_id)
    assert (question["generation"], question["parts"], reply["parts"]) == (None, None, None)
    (page,) = (await client.http.get(f"/api/chats/{posted.chat_id}/messages?after=1")).json()
    assert page == reply
    assert (reply["generation"]["status"], reply["generation"]["finish_reason"]) == ("completed", "length")
    assert (reply["generation"]["is_final"], reply["generation"]["error"]) == (True, None)


async def test_an_answer_that_is_still_made_is_not_final(client: Client, worker: Worker) -> None:
    posted = await post(client, "hello")
    _, reply = await client.messages(posted.chat_id)
    assert (reply["generation"]["status"], reply["generation"]["is_final"]) == ("queued", False)
    async with speaking(client, worker) as speech:
        _, reply = await client.messages(speech.posted.chat_id)
        assert (reply["generation"]["status"], reply["generation"]["is_final"]) == ("running", False)


async def test_an_answer_whose_end_is_not_saved_yet_is_over_but_not_final(client: Client, database_url: str) -> None:
    posted = await post(client, "hello")
    execute(
        database_url,
        "UPDATE generations SET status = 'cancelled', finished_at = now() WHERE id = %s",
        posted.generation_id,
    )
    _, reply = await client.messages(posted.chat_id)
    assert (reply["generation"]["status"], reply["generation"]["is_final"]) == ("cancelled", False)


async def test_a_tool_call_that_an_earlier_release_left_open_is_shown_as_failed(
    client: Client, worker: Worker, database_url: str
) -> None:
    async with speaking(client, worker) as speech:
        await client.http.post(f"/api/chats/{speech.posted.chat_id}/stop")
    call = '{"type": "dynamic-tool", "toolName": "t", "toolCallId": "c", "state": "input-available", "input": {}}'
    execute(
        database_url,
        "UPDATE messages SET parts = %s::jsonb WHERE chat_id = %s AND position = 2",
        f"[{call}]",
        speech.posted.chat_id,
    )
    _, reply = await client.messages(speech.posted.chat_id)
    assert (reply["parts"][0]["state"], reply["status"]) == ("output-error", "cancelled")
