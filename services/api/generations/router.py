"""Generations: look at one, and stop some."""

from fastapi import APIRouter
from structlog.contextvars import bind_contextvars

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId, Uuid
from services.api.generations import queries
from services.api.generations.cancellation import cancel
from services.api.generations.receipts import make_receipt
from services.api.generations.schemas import GenerationView, Receipt, Stopped
from services.api.generations.stopping import stop
from shared.database.tables import Generation
from shared.ids import ChatId, GenerationId

router = APIRouter(route_class=JsonRoute, prefix="/api", tags=["generations"])


@router.get("/generations/{generation_id}", responses={404: {"description": "generation_not_found"}})
async def get_generation(generation_id: Uuid, principal: CurrentPrincipal, resources: AppResources) -> GenerationView:
    """A generation's status, and what it took."""
    bind_contextvars(generation_id=str(generation_id))
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return GenerationView.model_validate(row)


@router.post("/generations/{generation_id}/cancel", responses={404: {"description": "generation_not_found"}})
async def cancel_generation(generation_id: Uuid, principal: CurrentPrincipal, resources: AppResources) -> Receipt:
    """Stop a generation. What was streamed is kept. For a generation that is over, this only tells how it ended."""
    bind_contextvars(generation_id=str(generation_id))
    database, streams = resources.database, resources.streams
    mine = Generation.user_id == principal.user_id
    await cancel(database, streams, resources.jobs, resources.metrics, Generation.id == generation_id, mine)
    async with database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return await make_receipt(streams.reader, row)


@router.post("/chats/{chat_id}/stop", responses={404: {"description": "chat_not_found"}})
async def stop_chat(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> Stopped:
    """Stop what the chat is generating, and what waits behind it."""
    database, streams = resources.database, resources.streams
    return await stop(database, streams, resources.jobs, resources.metrics, principal.user_id, ChatId(chat_id))
