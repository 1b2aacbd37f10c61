"""What a test says to the running double of an OpenID provider. `issuer` is what `start_oidc_double` yields."""

import asyncio
from typing import Any, TypedDict

from tests.doubles.groq_control import call


class Told(TypedDict):
    """What the double has been asked since the last reset: how often for what, and the last request of a login."""

    counts: dict[str, int]
    asked: dict[str, str]
    cookies: list[str]


async def control(issuer: str, **settings: Any) -> Told:  # noqa: ANN401 - as `Provider.control` takes it
    """Change how the provider is.

    `discovery` and `keys` are `down`, `slow`, `huge`, `page`, `elsewhere`, or "" for as they should be. `document` changes what
    discovery says; null takes a field away. `token` has in `is` what is given for a code in place of a token. `rotate` makes
    the provider sign with another key. `reset` makes all be as in the beginning.
    """
    told: Told = await asyncio.to_thread(call, issuer, "POST", "/control", settings)
    return told
