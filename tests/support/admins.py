"""Admins, as an operator makes them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.launcher.admins import make_admin
from tests.support.api_keys import made_key
from tests.support.clients import Client, logged_in
from tests.support.databases import as_app
from tests.support.turns import execute


@dataclass
class Person:
    """A user who is logged in."""

    client: Client
    id: int
    email: str

    @classmethod
    async def of(cls, client: Client) -> "Person":
        """Who a client is."""
        me = (await client.http.get("/api/auth/me")).raise_for_status().json()
        return cls(client, me["id"], me["email"])

    @property
    def path(self) -> str:
        """Where admins find this user."""
        return f"/api/admin/users/{self.id}"

    async def key(self, *scopes: str) -> Mapping[str, str]:
        """The header of a new API key of this person's."""
        return {"Authorization": f"Bearer {(await made_key(self.client, *scopes))['key']}"}


@asynccontextmanager
async def new_person(url: str) -> AsyncIterator[Person]:
    """A new user of this API."""
    async with logged_in(url) as client:
        yield await Person.of(client)


@asynccontextmanager
async def new_admin(url: str, database_url: str) -> AsyncIterator[Person]:
    """A new user of this API whom an operator has made an admin, by the database that the application uses."""
    async with new_person(url) as person:
        assert await asyncio.to_thread(make_admin, as_app(database_url), person.email)
        yield person


def acts_on(database_url: str, user_id: int) -> list[tuple[Any, ...]]:
    """(act, actor, credential, details) of what was done to a user, in order. Not that the user was made an admin."""
    return execute(
        database_url,
        "SELECT act, actor_id, credential, details FROM admin_acts WHERE subject_id = %s AND act NOT LIKE 'admin.%%' ORDER BY id",
        user_id,
    )
