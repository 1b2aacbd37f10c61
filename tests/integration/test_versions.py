"""Versions: a message is answered anew or edited, what was there is kept, and the model is told the active path alone."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.worker.runtime import Worker
from shared.settings import Settings
from tests.doubles import groq_control
from tests.support.clients import Client, numbered, text_of
from tests.support.turns import Noted, execute, open_worker_for, post, speaking
from tests.support.versions import answered, choose, delete, edit, path_of, regenerate, say, tree_of

TWO = numbered(2)


class TestRegenerating:
    """A user's message gets another reply."""

    async def test_the_new_reply_takes_the_place_of_the_old_one_and_of_all_that_followed(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        old = first["generation"]["assistant_message_id"]
        new = await answered(worker, await regenerate(client, chat, old))
        assert new["message"] == first["message"]
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO]
        reply = new["generation"]["assistant_message_id"]
        tree = await tree_of(client, chat)
        user, followed = first["message"]["id"], second["message"]["id"]
        assert [(one["position"], one["replaced"], one["parent_id"], one["versions"]) for one in tree] == [
            (1, False, None, [user]),
            (2, True, user, [old, reply]),
            (3, True, old, [followed]),
            (4, True, followed, [second["generation"]["assistant_message_id"]]),
            (5, False, user, [old, reply]),
        ]
        assert [message["versions"] for message in await client.messages(chat)] == [[user], [old, reply]]

    async def test_the_users_message_may_be_named_instead(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        new = await answered(worker, await regenerate(client, chat, first["message"]["id"]))
        assert new["message"] == first["message"]
        assert len((await client.messages(chat))[1]["versions"]) == 2

    async def test_the_response_streams_the_answer(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        accepted = await regenerate(client, chat, first["message"]["id"], headers={"Idempotency-Key": "a"})
        await answered(worker, accepted)
        url = f"/api/chats/{chat}/messages/{first['message']['id']}/regenerate"
        async with client.http.stream("POST", url, headers={"Idempotency-Key": "a"}) as response:
            body = (await response.aread()).decode()
        assert response.headers["X-Generation-Id"] == accepted.json()["generation"]["id"]
        assert '"finish"' in body

    async def test_the_stream_of_a_replaced_answer_can_be_read_for_ever(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        await answered(worker, await regenerate(client, chat, first["message"]["id"]))
        async with client.read(first["stream_url"]) as stream:
            assert text_of(await stream.all()) == TWO

    async def test_the_chats_stream_is_never_a_replaced_answers(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        second = await answered(worker, await regenerate(client, chat, first["message"]["id"]))
        await choose(client, chat, first["generation"]["assistant_message_id"])
        stream = await client.http.get(f"/api/chats/{chat}/stream")
        assert stream.headers.get("X-Generation-Id") != second["generation"]["id"]

    async def test_an_answer_that_was_stopped_can_be_made_anew(self, client: Client, worker: Worker) -> None:
        async with speaking(client, worker) as speech:
            chat = speech.posted.chat_id
            await client.http.post(f"/api/chats/{chat}/stop")
        _, stopped = await client.messages(chat)
        accepted = await regenerate(client, chat, stopped["id"])
        assert accepted.status_code == 202
        assert [message["status"] for message in await client.messages(chat)] == ["completed", "pending"]

    async def test_while_the_chat_generates_it_is_refused_or_interrupts(self, client: Client, worker: Worker) -> None:
        async with speaking(client, worker) as speech:
            chat = speech.posted.chat_id
            question, reply = await client.messages(chat)
            refused = await regenerate(client, chat, reply["id"])
            assert (refused.status_code, refused.json()["code"]) == (409, "generation_in_progress")
            assert refused.json()["stream_url"] == speech.posted.stream_url
            waiting = await regenerate(client, chat, reply["id"], on_conflict="enqueue")
            assert (waiting.status_code, waiting.json()["field"]) == (422, "on_conflict")
            accepted = await regenerate(client, chat, reply["id"], on_conflict="interrupt")
            seen = await speech.end()
        assert seen[-1].part["type"] == "abort"
        assert accepted.status_code == 202
        old = next(one for one in await tree_of(client, chat) if one["id"] == reply["id"])
        assert (old["replaced"], old["status"], old["content"]) == (True, "cancelled", text_of(seen))
        assert (await client.messages(chat))[0] == question

    async def test_a_message_of_a_replaced_version_brings_its_path_back(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] old")
        await answered(worker, await edit(client, chat, first["message"]["id"], "[[tokens=2]] new"))
        await answered(worker, await regenerate(client, chat, first["message"]["id"]))
        assert await path_of(client, chat) == ["[[tokens=2]] old", TWO]


class TestEditing:
    """A user's message gets another text, and a reply to that."""

    async def test_the_new_message_takes_the_place_of_the_old_one(
        self, client: Client, worker: Worker, chat: int, groq_url: str
    ) -> None:
        mark = uuid4().hex
        await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        await say(client, worker, chat, "[[tokens=2]] three")
        new = await answered(worker, await edit(client, chat, second["message"]["id"], f"[[tokens=1]] {mark}"))
        assert new["message"]["content"] == f"[[tokens=1]] {mark}"
        assert new["message"]["position"] == 7
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO, f"[[tokens=1]] {mark}", numbered(1)]
        edited = (await client.messages(chat))[2]
        assert edited["versions"] == [second["message"]["id"], new["message"]["id"]]
        (asked,) = await groq_control.requests(groq_url, containing=mark, ended=1)
        assert [said["content"] for said in asked["body"]["messages"][1:]] == [
            "[[tokens=2]] one",
            TWO,
            f"[[tokens=1]] {mark}",
        ]

    async def test_pages_that_a_replaced_answer_found_are_not_told(
        self, client: Client, worker: Worker, chat: int, groq_url: str, database_url: str
    ) -> None:
        page = {"url": "https://turku.example", "title": "Turku", "content": "A harbour."}
        search: dict[str, Any] = {"id": "a", "name": "web_search", "given": {}, "found": [page], "error": None}
        await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        steps = json.dumps([{"text": "", "calls": [search]}])
        searched = second["generation"]["id"]
        execute(database_url, "UPDATE generations SET steps = %s::jsonb WHERE id = %s", steps, searched)
        marks = [uuid4().hex, uuid4().hex]
        await say(client, worker, chat, f"[[tokens=2]] {marks[0]}")
        await answered(worker, await edit(client, chat, second["message"]["id"], f"[[tokens=2]] {marks[1]}"))
        asked = [await groq_control.requests(groq_url, containing=mark, ended=1) for mark in marks]
        assert ["turku.example" in str(requests[-1]["body"]["messages"]) for requests in asked] == [True, False]

    async def test_a_later_message_follows_the_new_version(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        new = await answered(worker, await edit(client, chat, first["message"]["id"], "[[tokens=2]] uno"))
        later = await say(client, worker, chat, "[[tokens=2]] due")
        by_id = {one["id"]: one for one in await tree_of(client, chat)}
        assert by_id[later["message"]["id"]]["parent_id"] == new["generation"]["assistant_message_id"]

    async def test_a_reply_can_not_be_edited(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        refused = await edit(client, chat, first["generation"]["assistant_message_id"], "two")
        assert (refused.status_code, refused.json()["code"]) == (422, "message_not_editable")
        assert len(await tree_of(client, chat)) == 2

    @pytest.mark.parametrize("content", ["", " \u200b ", "x" * 200_000])
    async def test_what_is_no_message_is_no_edit(self, client: Client, worker: Worker, chat: int, content: str) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        refused = await edit(client, chat, first["message"]["id"], content)
        assert (refused.status_code, refused.json()["field"]) == (422, "content")
        assert len(await tree_of(client, chat)) == 2

    async def test_an_edit_of_the_first_message_gives_the_chat_a_new_title(
        self, client: Client, settings: Settings, chat: int
    ) -> None:
        noted = Noted()
        async with open_worker_for(settings.model_copy(update={"title_by_model": True}), noted) as titling:
            first = await say(client, titling, chat, "[[tokens=2]] About tides")
            new = await edit(client, chat, first["message"]["id"], "[[tokens=2]] About owls")
            assert (await client.http.get(f"/api/chats/{chat}")).json()["title"] == "[[tokens=2]] About owls"
            asked = len(noted.titles)
            await answered(titling, new)
            assert len(noted.titles) == asked + 1

    async def test_an_edit_keeps_a_title_of_the_users(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] About tides")
        await client.http.patch(f"/api/chats/{chat}", json={"title": "Sea"})
        await edit(client, chat, first["message"]["id"], "About owls")
        assert (await client.http.get(f"/api/chats/{chat}")).json()["title"] == "Sea"

    async def test_a_title_of_the_message_before_the_edit_is_not_saved(
        self, client: Client, worker: Worker, chat: int, groq_url: str
    ) -> None:
        words = uuid4().hex
        await groq_control.script(groq_url, f"hold={words}", marker=words, reply="Tides")
        first = await post(client, f"About tides {words}", chat)
        making = asyncio.create_task(worker.titles.make(first.generation_id))
        await groq_control.requests(groq_url, containing=words, held=1)
        question, _ = await client.messages(chat)
        await edit(client, chat, question["id"], "About owls", on_conflict="interrupt")
        await groq_control.release(groq_url, words)
        await making
        assert (await client.http.get(f"/api/chats/{chat}")).json()["title"] == "About owls"


class TestRefusals:
    """What is no version of this chat, or is one already."""

    @pytest.mark.parametrize("what", ["regenerate", "edit", "choose", "delete"])
    async def test_a_message_of_another_chat_or_user_is_not_found(self, client: Client, chat: int, what: str) -> None:
        elsewhere = await post(client, "[[tokens=1]]")
        message = (await client.messages(elsewhere.chat_id))[0]["id"]
        requests: dict[str, Callable[[int], Coroutine[Any, Any, httpx.Response]]] = {
            "regenerate": lambda in_chat: regenerate(client, in_chat, message),
            "edit": lambda in_chat: edit(client, in_chat, message, "x"),
            "choose": lambda in_chat: choose(client, in_chat, message),
            "delete": lambda in_chat: delete(client, in_chat, message),
        }
        answer = requests[what]
        refused = await answer(chat)
        assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
        await client.sign_up()
        refused = await answer(elsewhere.chat_id)
        assert (refused.status_code, refused.json()["code"]) == (404, "chat_not_found")

    async def test_the_same_key_is_the_same_version_and_another_body_is_refused(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        key = {"Idempotency-Key": "k"}
        first = await say(client, worker, chat, "[[tokens=2]] one")
        message, reply = first["message"]["id"], first["generation"]["assistant_message_id"]
        once = await edit(client, chat, message, "two", headers=key)
        again = await edit(client, chat, message, "two", headers=key)
        assert once.json() == again.json()
        for other in (
            await edit(client, chat, message, "three", headers=key),
            await regenerate(client, chat, message, headers=key),
            await regenerate(client, chat, reply, headers=key),
            await client.post_async(chat, "two", headers=key),
        ):
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len(await tree_of(client, chat)) == 4

    async def test_what_is_refused_for_its_model_changes_nothing(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        refused = await regenerate(client, chat, first["message"]["id"], model="none")
        assert (refused.status_code, refused.json()["code"]) == (422, "model_not_offered")
        assert len(await tree_of(client, chat)) == 2
