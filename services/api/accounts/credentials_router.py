"""Log out, and get tickets for streams."""

from fastapi import APIRouter, Request, Response, status

from services.api.accounts.schemas import Ticket, TicketRequest
from services.api.auth.principal import StreamOf
from services.api.auth.sessions import end_sessions
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPerson
from services.api.generations import queries
from services.api.resources import Resources
from shared.ids import ChatId, GenerationId, UserId

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, responses={403: {"description": "origin_not_allowed"}})
async def logout(request: Request, response: Response, resources: AppResources) -> None:
    """End the session that the cookie names, and have the browser forget the cookie. Without one, nothing happens."""
    if tokens := resources.cookies.read(request):
        resources.cookies.insist_on_origin(request)
        async with resources.database.connect() as db:
            await end_sessions(db, tokens)
    resources.cookies.clear(request, response)


@router.post(
    "/stream-ticket",
    responses={
        404: {"description": "chat_not_found, generation_not_found"},
        429: {"description": "too_many_requests"},
    },
)
async def create_stream_ticket(
    principal: CurrentPerson, resources: AppResources, body: TicketRequest | None = None
) -> Ticket:
    """Get a ticket with which one stream can be read for a while, by a client that can send no header.

    The stream's URL is the same as without a ticket, with `?ticket=` behind it.
    """
    resources.ticket_rate.take(principal.user_id)
    stream = await _find_stream(resources, principal.user_id, body or TicketRequest())
    return Ticket(ticket=resources.tickets.issue(principal.user_id, stream), expires_in=resources.tickets.lifetime)


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
