"""What routes ask for. A thing that can be refused is resolved here, before a response starts."""

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from services.api.resources import Resources
from shared.errors import Unauthenticated
from shared.ids import UserId

_bearer = OAuth2PasswordBearer(tokenUrl="/api/auth/login", auto_error=False)


async def resources(request: Request) -> Resources:
    """What the process holds."""
    return cast("Resources", request.state.resources)


Held = Annotated[Resources, Depends(resources)]


async def current_user(token: Annotated[str | None, Depends(_bearer)], held: Held) -> UserId:
    """The user that the bearer token names (RFC 6750).

    Raises:
        Unauthenticated: there is no token.
        TokenInvalid: there is a wrong one.

    """
    if not token:
        raise Unauthenticated
    return held.tokens.read(token)


CurrentUser = Annotated[UserId, Depends(current_user)]
