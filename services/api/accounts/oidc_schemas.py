"""Bodies of the routes about OpenID providers."""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from services.api.fields import Body, View
from shared.settings import SignupMode

MAX_RETURN_CHARS: Final = 512


_UP: Final = re.compile(r"/(\.|%2e){2}(?![^/])", re.IGNORECASE)


def _stays_below(value: str) -> str:
    if _UP.search(re.split("[?#]", value, maxsplit=1)[0]):
        raise ValueError("must not have a segment `..`")
    return value


ReturnTo = Annotated[
    str,
    StringConstraints(max_length=MAX_RETURN_CHARS, pattern=r"^/([!-.0-\[\]-~][!-\[\]-~]*)?$"),
    AfterValidator(_stays_below),
]
"""A path below PUBLIC_URL, with a query and a fragment. Never another host: not `//host`, `/\\host`, or `https://host`. And
nothing beside PUBLIC_URL: no segment `..`, however spelled.
"""
ProviderId = Annotated[str, StringConstraints(max_length=32)]


class ReturnTarget(Body):
    """Where the person goes on afterwards: a path of the page."""

    return_to: ReturnTo = "/"


class ProviderAddress(View):
    """Where the browser goes now, in the same window. It must have kept the cookie of this answer."""

    url: str


class IdentityView(View):
    """An identity that is linked to the account. `provider` and `name` are null for a provider that is not there any more."""

    id: int
    provider: str | None
    name: str | None
    created_at: datetime
    last_used_at: datetime


class ProviderView(View):
    """A provider by which people log in: `GET /api/auth/oidc/{id}/login`. `name` is for people."""

    id: str
    name: str


class LoginOptions(View):
    """By which ways people get in, and make accounts.

    `signup` is `open`, `invite` (with the token of an invite alone) or `closed`. `mail`: links are mailed, so an address can be
    verified and a password be reset. `password`: passwords are taken. `providers` are in the operator's order.
    """

    signup: SignupMode
    mail: bool
    password: bool
    providers: list[ProviderView]
