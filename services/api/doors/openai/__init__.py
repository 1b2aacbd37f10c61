"""OpenAI's door: clients that speak OpenAI's API, under `/v1`. Source: docs/protocol.md, the OpenAI door."""

from services.api.doors.door import Door
from services.api.doors.openai import error_form
from services.api.doors.openai.router import router

DOOR = Door(
    prefix="/v1",
    router=router,
    error_form=error_form.respond,
    error_content=error_form.CONTENT,
    refuses_by_400=True,
    response_headers=(error_form.CODE_HEADER, "X-Generation-Id"),
)
