"""The AI SDK's door: `useChat` with nothing set. Source: docs/protocol.md, the AI SDK's door."""

from services.api.doors.ai_sdk import plain_text
from services.api.doors.ai_sdk.router import router
from services.api.doors.door import Door

DOOR = Door(
    prefix="/api/chat",
    router=router,
    error_form=plain_text.respond,
    error_content=plain_text.CONTENT,
    response_headers=("X-Error-Code", "X-Generation-Id", "X-Message-Id"),
)
