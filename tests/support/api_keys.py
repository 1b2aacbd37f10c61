"""API keys, as a user's programs have them."""

from typing import Any

from tests.support.clients import Client


async def made_key(user: Client, *scopes: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a key, and return what is told of it."""
    body = {"name": "Robot", "scopes": list(scopes or ("chat",)), **more}
    told: dict[str, Any] = (await user.http.post("/api/auth/keys", json=body)).raise_for_status().json()
    return told


def by_key(key: str) -> dict[str, str]:
    """The header with a key."""
    return {"Authorization": f"Bearer {key}"}
