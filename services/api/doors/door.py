"""A front door: one way in which clients talk to this API.

A door is a folder here (routes, schemas, an encoder, an error form) and one line in `services/api/app.py`. What is the
same behind every door is not in it: a message becomes a turn in `services/api/turns`, a generation's frames come from
`services/api/streaming`, errors become failures in `services/api/problems`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import APIRouter

from services.api.problems.failure import ErrorForm


class Door(NamedTuple):
    """A front door. `error_form` writes each failure at a path that begins with `prefix`, a 404 or a 401 too.

    `error_content` is what /openapi.json says of these failures, None for problems. `response_headers` are headers of its
    own that pages of other origins may read. A page may send any header. `refuses_by_400`: what does not fit its schema is 400
    here, and not 422.
    """

    prefix: str
    router: APIRouter
    error_form: ErrorForm
    error_content: Mapping[str, Any] | None = None
    response_headers: tuple[str, ...] = ()
    refuses_by_400: bool = False
