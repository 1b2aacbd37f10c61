"""A person who logs in by the double of an OpenID provider, step by step, as a browser does."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from tests.doubles.oidc.server import CLIENT_ID, CLIENT_SECRET
from tests.support.clients import NO_TLS
from tests.support.signed_in import Browser


def providers(**issuers: str) -> str:
    """What OIDC_PROVIDERS says of some doubles, by their ids."""
    return json.dumps(
        [
            {"id": name, "name": name.title(), "issuer": issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            for name, issuer in issuers.items()
        ]
    )


def new_email() -> str:
    """An address that nobody has."""
    return f"{uuid4().hex}@example.com"


async def log_in_there(address: str, faults: str = "", **person: Any) -> str:  # noqa: ANN401
    """Log in at the provider, as a person of this `email`, `sub` and `email_verified`. Returns where the browser is sent back to.

    `address` is the provider's, as the API has given it. `faults` are what the double's directives are.
    """
    there = urlsplit(address)
    form = {**dict(parse_qsl(there.query)), "faults": faults}
    form |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in person.items()}
    async with httpx.AsyncClient(base_url=f"{there.scheme}://{there.netloc}", verify=NO_TLS, timeout=20) as http:
        (await http.get(address)).raise_for_status()
        answer = await http.post("/log-in", data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def go(browser: Browser, provider: str = "acme", return_to: str = "/") -> str:
    """Begin to log in. Returns the provider's address."""
    answer = await browser.get(f"/api/auth/oidc/{provider}/login", params={"return_to": return_to})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def log_in(
    browser: Browser,
    provider: str = "acme",
    faults: str = "",
    *,
    accept: str = "*/*",
    return_to: str = "/",
    **person: Any,  # noqa: ANN401 - as in `log_in_there`
) -> httpx.Response:
    """All of a login. Returns the API's answer to the browser that has come back."""
    back = await log_in_there(await go(browser, provider, return_to), faults, **person)
    return await browser.get(back, headers={"Accept": accept})


async def follow(
    browser: Browser,
    kind: str,
    provider: str = "acme",
    faults: str = "",
    **person: Any,  # noqa: ANN401 - likewise
) -> httpx.Response:
    """Link an identity, or prove one (`reauthenticate`), as somebody who is logged in."""
    begun = await browser.post(f"/api/auth/oidc/{provider}/{kind}", json={"return_to": "/#/account"})
    assert begun.status_code == 200, begun.text
    return await browser.get(await log_in_there(begun.json()["url"], faults, **person))
