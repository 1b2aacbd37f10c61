"""kill -9 of the worker that summarizes, again and again: the watermark and what was summarized always agree."""

import os
from itertools import pairwise
from uuid import uuid4

from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.clients import logged_in
from tests.support.summaries import read_request
from tests.support.system import System
from tests.support.turns import execute

KILLS = int(os.environ.get("SUMMARY_KILLS", "2"))
"""More for a longer run by hand: SUMMARY_KILLS=50."""
CHUNK = 3
WINDOW = 5
RECORD = """
CREATE TABLE moved (id bigserial, before bigint, after bigint, old text, new text);
CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO moved (before, after, old, new) VALUES (OLD.summary_position, NEW.summary_position, OLD.summary, NEW.summary);
  RETURN NEW;
END $$;
CREATE TRIGGER note_move AFTER UPDATE OF summary_position ON chats FOR EACH ROW EXECUTE FUNCTION note_move();
"""


async def test_a_summary_worker_that_is_killed_again_and_again_summarizes_each_message_once(
    new_system: NewSystem, groq_url: str
) -> None:
    system = new_system(SUMMARY_TIMEOUT_SECONDS="1", SUMMARY_CHUNK_MESSAGES=str(CHUNK), SWEEP_INTERVAL_SECONDS="0.2")
    database_url, mark = system.database_url, uuid4().hex
    messages = (2 * KILLS + 4) * CHUNK + WINDOW
    execute(database_url, RECORD)
    execute(database_url, "INSERT INTO users (email, password_hash) VALUES ('me@example.com', 'x')")
    execute(database_url, "INSERT INTO chats (user_id, last_position) SELECT id, %s FROM users", messages)
    execute(
        database_url,
        "INSERT INTO messages (chat_id, role, content, position, status)"
        " SELECT c.id, CASE n %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, %s || n, n, 'completed'"
        " FROM chats c, generate_series(1, %s) AS n",
        *(f"{mark} ", messages),
    )
    execute(database_url, "UPDATE chats SET summary_due_at = now()")
    await groq_control.script(groq_url, "rate=60", marker=mark, times=1000)
    asked = 0
    for _ in range(KILLS):
        worker = await system.start_worker("summaries,maintenance")
        # One chunk is summarized, and the next one is being summarized when the worker dies.
        before = len(execute(database_url, "SELECT 1 FROM moved"))
        while len(execute(database_url, "SELECT 1 FROM moved")) == before:
            asked = len(await groq_control.requests(groq_url, containing=mark, arrived=asked + 1, within=30))
        system.kill(worker)
    await system.start_worker("summaries,maintenance")
    while execute(database_url, "SELECT summary_position FROM chats") != [(messages - WINDOW,)]:
        asked = len(await groq_control.requests(groq_url, containing=mark, arrived=asked, within=30))
    rows = execute(database_url, "SELECT before, after FROM moved ORDER BY id")
    moves = [(int(str(before)), int(str(after))) for before, after in rows]
    assert moves[0][0] == 0
    assert all(left[1] == right[0] for left, right in pairwise(moves))
    assert moves[-1][1] == messages - WINDOW
    summarized = {
        tuple(read_request(str(request["user_text"])))
        for request in await groq_control.requests(groq_url, containing=mark)
        if str(request["user_text"]).startswith("The facts")  # others merge two segments
    }
    for before, after in moves:
        assert tuple(range(before + 1, after + 1)) in summarized


async def test_without_a_summary_worker_answers_come_and_are_told_everything(system: System, groq_url: str) -> None:
    await system.start_worker()
    _, url = await system.start_api()
    mark = uuid4().hex
    async with logged_in(url) as client:
        chat = await client.new_chat()
        for number in range(1, 9):
            async with client.post(chat, f"{mark} {number} [[tokens=2]]") as stream:
                assert (await stream.all())[-1].part["type"] == "finish"
        memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert (memory["watermark"], memory["pending"]) == (0, 16)
    last = (await groq_control.requests(groq_url, containing=mark, ended=8))[-1]
    assert len(last["body"]["messages"]) == 1 + 15
