"""Log out, and get tickets for streams."""

from fastapi import APIRouter, Request, Response, status

from services.api.accounts.logins import named_session
from services.api.accounts.schemas import Logout, Ticket, TicketRequest
from services.api.auth.principal import StreamOf
from services.api.auth.refresh_tokens import read_refresh_token
from services.api.auth.rotation import end_family
from services.api.auth.sessions import end_session_of_token, end_sessions
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, SessionPrincipal
from services.api.generations import queries
from services.api.resources import Resources
from shared.ids import ChatId, GenerationId, UserId

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, responses={403: {"description": "origin_not_allowed"}})
async def logout(request: Request, response: Response, resources: AppResources, body: Logout | None = None) -> None:
    """End the sessions that the cookie, the bearer token and the body's refresh token name, and clear the cookie.

    What names no session, or one that has ended, changes nothing (as in RFC 7009, section 2.2). A page that is not ours may end
    the sessions of tokens that it has, and clears no cookie.
    """
    cookies, session_id = resources.cookies.read(request), named_session(request, resources.tokens)
    refresh_token = body.refresh_token if body else None
    if cookies:
        resources.cookies.insist_on_origin(request)
    elif not refresh_token and "authorization" not in request.headers:
        resources.cookies.refuse_foreign_pages(request)
    family = read_refresh_token(refresh_token) if refresh_token else None
    if cookies or session_id is not None or family:
        async with resources.database.connect() as db:
            await end_sessions(db, cookies)
            if session_id is not None:
                await end_session_of_token(db, session_id)
            if family:
                await end_family(db, family)
    if cookies:  # else the browser has one that it did not send, since another page has asked
        resources.cookies.clear(request, response)


@router.post(
    "/stream-ticket",
    responses={
        404: {"description": "chat_not_found, generation_not_found"},
        429: {"description": "too_many_requests"},
    },
)
async def create_stream_ticket(
    principal: SessionPrincipal, resources: AppResources, body: TicketRequest | None = None
) -> Ticket:
    """Get a ticket with which one stream can be read for a while, by a client that can send no header.

    The stream's URL is the same as without a ticket, with `?ticket=` behind it.
    """
    resources.ticket_rate.take(principal.user_id)
    stream = await _find_stream(resources, principal.user_id, body or TicketRequest())
    ticket = resources.tickets.issue(principal.user_id, stream, principal.session_id)
    return Ticket(ticket=ticket, expires_in=resources.tickets.lifetime)


async def _find_stream(resources: Resources, user_id: UserId, asked: TicketRequest) -> StreamOf:
    """The stream that is asked for.

    Raises:
        ChatNotFound, GenerationNotFound: absent, or another user's.

    """
    if asked.chat_id is not None:
        async with resources.database.connect() as db:
            await queries.check_chat(db, user_id, ChatId(asked.chat_id))
        return StreamOf("chat", str(asked.chat_id))
    if asked.generation_id is not None:
        async with resources.database.connect() as db:
            await queries.find_generation(db, user_id, GenerationId(asked.generation_id))
        return StreamOf("generation", str(asked.generation_id))
    return StreamOf("events")
