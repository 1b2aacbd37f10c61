"""A front door: one way in which clients talk to this API.

A door is a folder here (routes, schemas, an encoder, an error form) and one line in `services/api/app.py`. What is the
same behind every door is not in it: a message becomes a turn in `services/api/turns`, a generation's frames come from
`services/api/streaming`, errors become failures in `services/api/problems`.
"""

from typing import NamedTuple

from fastapi import APIRouter

from services.api.problems.failure import ErrorForm


class Door(NamedTuple):
    """A front door. `error_form` writes each failure at a path that begins with `prefix`, a 404 or a 401 too.

    `response_headers` are headers of its own that pages of other origins may read. A page may send any header.
    """

    prefix: str
    router: APIRouter
    error_form: ErrorForm
    response_headers: tuple[str, ...] = ()
