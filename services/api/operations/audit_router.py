"""The audit log of a user's own data sources and operations."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.api import cursors
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import Digits
from services.api.operations.schemas import AuditEntry
from services.api.pages import link_next
from shared.operations.audit import list_entries

router = APIRouter(route_class=JsonRoute, prefix="/api/audit", tags=["operations"])


@router.get("", responses={422: {"description": "validation_failed, cursor_invalid"}})
async def list_audit(
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    resources: AppResources,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Page size."), Digits] = 50,
) -> list[AuditEntry]:
    """What was done with the user's data sources, and who decided: the newest entry first. The next page is in `Link`."""
    before = cursors.number(cursor) if cursor else None
    async with resources.database.connect() as db:
        entries = await list_entries(db, principal.user_id, before=before, limit=limit + 1)
    page = entries[:limit]
    if len(entries) > limit:
        link_next(request, response, cursor=str(page[-1].number))
    return [AuditEntry.of(entry) for entry in page]
