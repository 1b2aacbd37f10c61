"""A chat's memory as its user sees and changes it over HTTP."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.clients import Client
from tests.support.turns import execute


@dataclass(frozen=True)
class Memory:
    """The memory of a chat of ten messages, six of them covered by two segments."""

    client: Client
    database_url: str
    chat: int

    @property
    def url(self) -> str:
        return f"/api/chats/{self.chat}/memory"

    def add(self, text: str, position: int | None = None, **columns: object) -> int:
        """Put a fact into the table, behind everybody's back. Returns its id."""
        values = {"kind": "other", "source": "user", "text": text, "position": position, **columns}
        return insert(self.database_url, self.chat, values)

    async def seen(self) -> dict[str, Any]:
        """What GET says."""
        answer = await self.client.http.get(self.url)
        assert answer.status_code == 200
        return dict(answer.json())

    async def fact(self, fact_id: int) -> dict[str, Any]:
        """What GET says of a fact."""
        (found,) = [fact for fact in (await self.seen())["facts"] if fact["id"] == fact_id]
        return dict(found)

    async def patch(self, **change: object) -> dict[str, Any]:
        """Change it. Returns what it is then."""
        answer = await self.client.http.patch(self.url, json=change)
        assert answer.status_code == 200, answer.text
        changed = dict(answer.json())
        assert changed == await self.seen()
        return changed

    async def refused(self, **change: object) -> tuple[int, str, str | None]:
        """Try a change that is refused: (status, code, field). Nothing may have changed."""
        before = await self.seen()
        # As ASCII, so that half a surrogate pair can be sent.
        body, headers = json.dumps(change), {"Content-Type": "application/json"}
        answer = await self.client.http.patch(self.url, content=body, headers=headers)
        assert await self.seen() == before
        return answer.status_code, answer.json()["code"], answer.json().get("field")

    def legacy(self) -> tuple[object, object]:
        """What processes of the release before read: the summary, and the facts' texts."""
        facts = "SELECT array_agg(one ->> 'text') FROM jsonb_array_elements(facts) AS one"
        ((summary, texts),) = execute(
            self.database_url,
            f"SELECT summary, ({facts}) FROM chats WHERE id = %s",  # noqa: S608 - a constant
            self.chat,
        )
        return summary, texts


def insert(database_url: str, chat: int, values: dict[str, object]) -> int:
    """Add a fact to a chat. Returns its id."""
    columns, places = ", ".join(values), ", ".join("%s" for _ in values)
    ((fact_id,),) = execute(
        database_url,
        f"INSERT INTO memory_facts (user_id, chat_id, {columns})"  # noqa: S608 - names of ours
        f" SELECT user_id, id, {places} FROM chats WHERE id = %s RETURNING id",
        *values.values(),
        chat,
    )
    return int(str(fact_id))
