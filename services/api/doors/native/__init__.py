"""The native door: this API's own routes, whose stream is the log's own bytes."""

from services.api.doors.door import Door
from services.api.doors.native import problem_json
from services.api.doors.native.router import router

DOOR = Door(
    prefix="",
    router=router,
    error_form=problem_json.respond,
    response_headers=("Preference-Applied", "X-Generation-Id", "X-Message-Id"),
)
