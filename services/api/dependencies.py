"""What routes ask for. A thing that can be refused is resolved here, before a response starts."""

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from services.api.resources import Resources
from shared.errors import Unauthenticated
from shared.ids import UserId

_bearer = OAuth2PasswordBearer(tokenUrl="/api/auth/login", auto_error=False)


async def get_resources(request: Request) -> Resources:
    """What the process holds."""
    return cast("Resources", request.state.resources)


AppResources = Annotated[Resources, Depends(get_resources)]


async def current_user(token: Annotated[str | None, Depends(_bearer)], resources: AppResources) -> UserId:
    """The user that the bearer token names (RFC 6750).

    Raises:
        Unauthenticated: there is no token.
        TokenInvalid: there is a wrong one.

    """
    if not token:
        raise Unauthenticated
    return resources.tokens.read(token)


CurrentUser = Annotated[UserId, Depends(current_user)]
