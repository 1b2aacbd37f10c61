"""What routes ask for. A request that has to be refused is refused here, before its response starts."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.routing import iter_route_contexts
from fastapi.security import OAuth2PasswordBearer
from starlette.routing import BaseRoute
from starlette.types import Scope

from services.api.auth.principal import Principal
from services.api.resources import Resources
from shared.errors import Unauthenticated

_bearer = OAuth2PasswordBearer(tokenUrl="/api/auth/login", auto_error=False)


async def get_resources(request: Request) -> Resources:
    """The connections and keys of this process."""
    return cast("Resources", request.state.resources)


AppResources = Annotated[Resources, Depends(get_resources)]


async def current_principal(request: Request, _token: Annotated[str | None, Depends(_bearer)]) -> Principal:
    """The principal that the Authentication middleware found. `_token` is only there for the OpenAPI document.

    Raises:
        Unauthenticated: the middleware did not look for a principal at this route.

    """
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        raise Unauthenticated
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


class SecuredRoutes:
    """The routes that ask for a principal, among all routes of an application."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._secured = [
            (frozenset(route.methods or ()), route.path_regex)
            for route in iter_route_contexts(routes)
            if _asks_for_principal(getattr(route, "dependant", None))
        ]

    def has(self, scope: Scope) -> bool:
        """Whether this request's method and path lead to one of them."""
        path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope["method"]
        return any(method in methods and path_regex.match(path) for methods, path_regex in self._secured)


def _asks_for_principal(dependant: Any) -> bool:  # noqa: ANN401 - FastAPI's, None for a route that is not FastAPI's
    """Whether a route, or anything that it depends on, depends on `current_principal`."""
    if dependant is None:
        return False
    return dependant.call is current_principal or any(map(_asks_for_principal, dependant.dependencies))
