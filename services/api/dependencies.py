"""What routes ask for. A request that has to be refused is refused here, before its response starts."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

from fastapi import Depends, Request
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyQuery, OAuth2PasswordBearer
from starlette.routing import BaseRoute
from starlette.types import Scope

from services.api.auth.authenticate import SAFE_METHODS
from services.api.auth.principal import KeyScope, Principal, StreamKind, StreamOf
from services.api.auth.stream_tickets import PARAMETER
from services.api.networks import network_of_client
from services.api.resources import Resources
from services.api.stream_slots import StreamSlots
from shared.errors import AdminOnly, CredentialNotAllowed, TicketMismatch, Unauthenticated

_bearer = OAuth2PasswordBearer(tokenUrl="/api/auth/login", auto_error=False)
_ticket = APIKeyQuery(
    name=PARAMETER, scheme_name="StreamTicket", description="From `POST /api/auth/stream-ticket`.", auto_error=False
)

LOGGED_IN: Final = frozenset({"access_token", "session"})
"""The credentials that a login gives."""

_Kind = Literal["principal", "session", "admin", "stream"]
"""What a route asks for: a principal, by any credential but a ticket; one who is logged in; an admin; or the reader of a
stream."""


class Access(NamedTuple):
    """What a request's route asks of the request's credential.

    `takes_ticket`: a stream ticket will do. `scope` is what an API key has to allow; None where no API key will do.
    `admin_only`: the principal has to be an admin.
    """

    takes_ticket: bool
    scope: KeyScope | None
    admin_only: bool = False


async def get_resources(request: Request) -> Resources:
    """The connections and keys of this process."""
    return cast("Resources", request.state.resources)


AppResources = Annotated[Resources, Depends(get_resources)]


async def client_network(request: Request) -> str:
    """The network that the request comes from, as the limits of tries count it."""
    return network_of_client(request)


ClientNetwork = Annotated[str, Depends(client_network)]


Token = Annotated[str | None, Depends(_bearer)]
Ticket = Annotated[str | None, Depends(_ticket)]
"""Both are only there for the OpenAPI document: the middleware has looked at the credentials. Cookies are described in
doors/native/openapi.py, since each dependency takes a while at every request."""


async def current_principal(request: Request, _token: Token) -> Principal:
    """The principal that the Authentication middleware found.

    Raises:
        Unauthenticated: the middleware did not look for a principal at this route.
        TicketMismatch: the principal may only read a stream, and this route is none.

    """
    principal = _principal_of(request)
    if principal.stream is not None:
        raise TicketMismatch
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


async def session_principal(request: Request, _token: Token) -> Principal:
    """The principal, who is logged in: by a cookie, or by tokens. For routes that manage credentials.

    A key that leaked is worth what its scopes say, and makes no other keys. The middleware refuses it before the body is
    read.

    Raises:
        Unauthenticated, TicketMismatch: as `current_principal`.
        CredentialNotAllowed: the credential is of another kind, which makes and ends no credentials.

    """
    principal = await current_principal(request, _token)
    if principal.credential not in LOGGED_IN:
        raise CredentialNotAllowed
    return principal


SessionPrincipal = Annotated[Principal, Depends(session_principal)]


async def admin_principal(request: Request, _token: Token) -> Principal:
    """The principal, who is an admin: logged in, or by an API key with the scope `admin`.

    The role was read from the database for this request, together with the credential. The middleware refuses others before
    the body is read.

    Raises:
        Unauthenticated, TicketMismatch: as `current_principal`.
        AdminOnly: the principal is no admin.

    """
    principal = await current_principal(request, _token)
    if not principal.is_admin:
        raise AdminOnly
    return principal


AdminPrincipal = Annotated[Principal, Depends(admin_principal)]


@dataclass(frozen=True, slots=True)
class StreamReader:
    """A dependency of a route that streams: the principal, whom a ticket for this very stream may name too.

    `parameter` is the parameter of the route's path that says which stream of its `kind` it is; None where there is one
    only. Only a GET takes tickets, whatever else depends on this.
    """

    kind: StreamKind
    parameter: str | None = None

    async def __call__(self, request: Request, _token: Token, _ticket: Ticket) -> Principal:
        """The principal that the Authentication middleware found.

        Raises:
            Unauthenticated: the middleware did not look for a principal at this route.
            TicketMismatch: the ticket is for another stream.

        """
        principal = _principal_of(request)
        stream = StreamOf(self.kind, request.path_params[self.parameter] if self.parameter else "")
        if principal.stream not in (None, stream):
            raise TicketMismatch
        return principal


ChatStreamReader = Annotated[Principal, Depends(StreamReader("chat", "chat_id"))]
GenerationStreamReader = Annotated[Principal, Depends(StreamReader("generation", "generation_id"))]
EventsReader = Annotated[Principal, Depends(StreamReader("events"))]


@dataclass(frozen=True, slots=True)
class TakesStreamSlot:
    """A dependency of a route that streams: one of the streams that a user may have open, until the response has ended.

    It is taken before the route does anything, so that a message whose answer can't be streamed is not accepted.
    `is_needed` tells by a request, whose body was read by now, whether the response is waited for.
    """

    is_needed: Callable[[Request], bool] = lambda _request: True

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        """Hold the slot.

        Raises:
            TooManyStreams: the user, or the network, has as many streams as it may.

        """
        if not self.is_needed(request):
            yield
            return
        slots: StreamSlots = request.state.resources.stream_slots
        principal, address = _principal_of(request), request.client.host if request.client else None
        with slots.hold(
            principal.user_id,
            address,
            is_resumable=request.method == "GET",
            session_id=principal.session_id,
            key_id=principal.key_id,
            expires_at=principal.expires_at,
        ) as slot:
            request.state.stream_slot = slot  # the response takes it from there
            yield


class SecuredRoutes:
    """The routes that ask for a principal, among all routes of an application."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._streams = [
            route.path_regex
            for route in iter_route_contexts(routes)
            if "GET" in (route.methods or ()) and _is_stream(getattr(route, "dependant", None))
        ]
        self._secured = [
            (frozenset(route.methods or ()), route.path_regex, kind)
            for route in iter_route_contexts(routes)
            if (kind := _kind(getattr(route, "dependant", None)))
        ]

    def access(self, scope: Scope) -> Access | None:
        """What the route asks for to which this request's method and path lead; None when it asks for nothing.

        What an API key has to allow follows from the method, or is `admin` where only admins are let in: a route can't forget
        to say it.
        """
        path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope["method"]
        for methods, path_regex, kind in self._secured:
            if method in methods and path_regex.match(path):
                if kind == "admin":
                    return Access(takes_ticket=False, scope="admin", admin_only=True)
                asked: KeyScope = "read" if method in SAFE_METHODS else "chat"
                return Access(kind == "stream" and method == "GET", None if kind == "session" else asked)
        return None

    def has_head(self, scope: Scope) -> bool:
        """Whether HEAD may be answered as GET at this request's path: a stream is opened by GET alone."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return not any(path_regex.match(path) for path_regex in self._streams)


def _kind(dependant: Any) -> _Kind | None:  # noqa: ANN401 - FastAPI's, None for a route that is not FastAPI's
    """What a route, or anything that it depends on, asks for. What asks for a session refuses all else."""
    if dependant is None:
        return None
    if isinstance(dependant.call, StreamReader):
        return "stream"
    if dependant.call is session_principal:
        return "session"
    if dependant.call is admin_principal:
        return "admin"
    if dependant.call is current_principal:
        return "principal"
    found = {kind for each in dependant.dependencies if (kind := _kind(each))}
    kinds: tuple[_Kind, ...] = ("session", "admin", "stream", "principal")
    return next((kind for kind in kinds if kind in found), None)


def _is_stream(dependant: Any) -> bool:  # noqa: ANN401 - likewise
    """Whether a route's response is a stream."""
    return dependant is not None and any(isinstance(each.call, TakesStreamSlot) for each in dependant.dependencies)


def _principal_of(request: Request) -> Principal:
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        raise Unauthenticated
    return principal
