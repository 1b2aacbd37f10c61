"""Which version of a chat's messages is the active one: one is chosen, or the last turn is deleted."""

from uuid import uuid4

from services.worker.runtime import Worker
from tests.doubles import groq_control
from tests.support.clients import Client, numbered
from tests.support.turns import execute, post, speaking
from tests.support.versions import answered, choose, delete, edit, path_of, regenerate, say, tree_of

TWO = numbered(2)


class TestChoosing:
    """A version that was replaced becomes the active one again."""

    async def test_the_chosen_version_comes_back_with_what_followed_it(
        self, client: Client, worker: Worker, chat: int, groq_url: str
    ) -> None:
        mark = uuid4().hex
        first = await say(client, worker, chat, "[[tokens=2]] one")
        await say(client, worker, chat, "[[tokens=2]] two")
        old = first["generation"]["assistant_message_id"]
        await answered(worker, await regenerate(client, chat, old))
        await say(client, worker, chat, "[[tokens=2]] zwei")
        view = (await choose(client, chat, old)).raise_for_status().json()
        assert view == (await client.http.get(f"/api/chats/{chat}")).json()
        assert [one["content"] for one in view["messages"]] == ["[[tokens=2]] one", TWO, "[[tokens=2]] two", TWO]
        await say(client, worker, chat, f"[[tokens=1]] {mark}")
        (asked,) = await groq_control.requests(groq_url, containing=mark, ended=1)
        told = [said["content"] for said in asked["body"]["messages"][1:]]
        assert told == ["[[tokens=2]] one", TWO, "[[tokens=2]] two", TWO, f"[[tokens=1]] {mark}"]

    async def test_the_newest_leaf_behind_the_version_is_the_end(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        await answered(worker, await edit(client, chat, second["message"]["id"], "[[tokens=2]] due"))
        await answered(worker, await edit(client, chat, first["message"]["id"], "[[tokens=2]] uno"))
        await choose(client, chat, first["message"]["id"])
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO, "[[tokens=2]] due", TWO]

    async def test_what_is_active_stays_active_with_all_that_follows(
        self, client: Client, worker: Worker, chat: int
    ) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        await answered(worker, await edit(client, chat, second["message"]["id"], "[[tokens=2]] due"))
        await choose(client, chat, second["message"]["id"])
        assert (await choose(client, chat, first["message"]["id"])).status_code == 200
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO, "[[tokens=2]] two", TWO]

    async def test_while_the_chat_generates_it_is_refused(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        await regenerate(client, chat, first["message"]["id"])
        refused = await choose(client, chat, first["generation"]["assistant_message_id"])
        assert (refused.status_code, refused.json()["code"]) == (409, "generation_in_progress")
        assert await path_of(client, chat) == ["[[tokens=2]] one", ""]


class TestDeleting:
    """The last turn goes."""

    async def test_the_turn_before_is_the_end(self, client: Client, worker: Worker, chat: int) -> None:
        await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        await answered(worker, await regenerate(client, chat, second["message"]["id"]))
        assert (await delete(client, chat, second["message"]["id"])).status_code == 204
        assert [one["content"] for one in await tree_of(client, chat)] == ["[[tokens=2]] one", TWO]
        third = await say(client, worker, chat, "[[tokens=2]] three")
        assert third["message"]["position"] == 6
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO, "[[tokens=2]] three", TWO]
        assert (await client.http.get(second["stream_url"])).status_code == 404

    async def test_a_turn_in_the_middle_is_refused(self, client: Client, worker: Worker, chat: int) -> None:
        first = await say(client, worker, chat, "[[tokens=2]] one")
        second = await say(client, worker, chat, "[[tokens=2]] two")
        new = await answered(worker, await edit(client, chat, second["message"]["id"], "[[tokens=2]] due"))
        for message in (first["message"]["id"], second["message"]["id"]):
            refused = await delete(client, chat, message)
            assert (refused.status_code, refused.json()["code"]) == (409, "turn_not_last")
        assert (await delete(client, chat, new["generation"]["assistant_message_id"])).status_code == 204
        # Another version of the message stays, and can be chosen.
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO]
        await choose(client, chat, second["message"]["id"])
        assert await path_of(client, chat) == ["[[tokens=2]] one", TWO, "[[tokens=2]] two", TWO]

    async def test_what_it_generates_is_stopped(self, client: Client, worker: Worker, database_url: str) -> None:
        async with speaking(client, worker) as speech:
            chat = speech.posted.chat_id
            _, reply = await client.messages(chat)
            assert (await delete(client, chat, reply["id"])).status_code == 204
            seen = await speech.end()
        assert seen[-1].part["type"] == "abort"
        assert await tree_of(client, chat) == []
        assert execute(database_url, "SELECT count(*) FROM generations") == [(0,)]
        assert (await client.post_async(chat, "Again")).status_code == 202

    async def test_a_turn_in_line_is_deleted_alone(self, client: Client, worker: Worker) -> None:
        first = await post(client, "[[tokens=2]]")
        waiting = (await client.post_async(first.chat_id, "Second", on_conflict="enqueue")).json()
        assert (await delete(client, first.chat_id, waiting["message"]["id"])).status_code == 204
        await worker.attempts.run(first.generation_id)
        assert await path_of(client, first.chat_id) == ["[[tokens=2]]", TWO]
