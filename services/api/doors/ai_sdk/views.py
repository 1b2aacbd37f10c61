"""Who has just been shown a reply: a page that is mounted next asks for the stream of an answer that it has.

The row of the reply's generation keeps each view, with its viewer and its time. A view counts for a short time, and for one
page: another tab of the same browser may have half of the answer, and says nothing of that.
"""

import hashlib
from collections.abc import Collection
from typing import Final

from sqlalchemy import text

from services.api.auth.principal import Principal
from services.api.doors.ai_sdk.operation_queries import CallOperation
from shared.database.engine import Connection
from shared.ids import GenerationId

COUNTS_FOR: Final = 30
"""Seconds. A page is mounted right after it was given its messages."""
MAX_VIEWS: Final = 20
"""How many views are kept of one reply: the newest ones."""

# One statement each, so that of two pages at the same moment each finds what the other has left.
_ADD: Final = text("""
    UPDATE generations SET views = jsonb_build_array(
        jsonb_build_object('viewer', CAST(:viewer AS text), 'at', extract(epoch FROM now()))
    ) || coalesce(
        (
            SELECT jsonb_agg(view ORDER BY place)
            FROM jsonb_array_elements(views) WITH ORDINALITY AS earlier (view, place)
            WHERE place < :max_views AND CAST(view ->> 'at' AS float8) > extract(epoch FROM now()) - :counts_for
        ),
        '[]'
    )
    WHERE id = :generation
""")
_USE: Final = text("""
    UPDATE generations SET views = views - (
        SELECT CAST(max(place) AS integer) - 1
        FROM jsonb_array_elements(views) WITH ORDINALITY AS noted (view, place)
        WHERE view ->> 'viewer' = :viewer AND CAST(view ->> 'at' AS float8) > extract(epoch FROM now()) - :counts_for
    )
    WHERE id = :generation AND EXISTS (
        SELECT FROM jsonb_array_elements(views) AS noted (view)
        WHERE view ->> 'viewer' = :viewer AND CAST(view ->> 'at' AS float8) > extract(epoch FROM now()) - :counts_for
    )
    RETURNING id
""")


def viewer(principal: Principal, awaited: Collection[CallOperation] = ()) -> str:
    """Who looks at a chat, as far as the door can tell: the same for all tabs of a browser, another for each device.

    Who was shown an answer that waits for these operations has seen less than who was shown the whole answer, or a later wait.
    """
    known = principal.credential_hash.hex()[:32]
    if not awaited:
        return known
    wait = "".join(sorted(str(operation.id) for operation in awaited if operation.awaits_person))
    return f"{known}:{hashlib.sha256(wait.encode()).hexdigest()[:16]}"


async def add_view(db: Connection, generation_id: GenerationId, viewer: str) -> None:
    """Add a view: this viewer is shown the reply of this generation now."""
    named = {"generation": generation_id, "viewer": viewer, "counts_for": COUNTS_FOR, "max_views": MAX_VIEWS}
    await db.execute(_ADD, named)


async def use_view(db: Connection, generation_id: GenerationId, viewer: str) -> bool:
    """Whether this viewer has just been shown the reply of this generation. A view is told of once."""
    named = {"generation": generation_id, "viewer": viewer, "counts_for": COUNTS_FOR}
    return (await db.execute(_USE, named)).one_or_none() is not None
