"""OpenAI's door: clients that speak OpenAI's API, under `/v1`. Source: docs/protocol.md, the OpenAI door."""

from fastapi import APIRouter

from services.api.doors.door import Door
from services.api.doors.openai import error_form, router
from services.api.doors.openai.responses import conversations_router, items_router
from services.api.doors.openai.responses import router as responses_router

ROUTER = APIRouter()
for part in (router.router, responses_router.router, conversations_router.router, items_router.router):
    ROUTER.include_router(part)

DOOR = Door(
    prefix="/v1",
    router=ROUTER,
    error_form=error_form.respond,
    error_content=error_form.CONTENT,
    refuses_by_400=True,
    response_headers=(error_form.CODE_HEADER, "X-Generation-Id"),
)
