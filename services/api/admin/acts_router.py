"""What admins have done."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.api import cursors
from services.api.admin.acts import list_acts
from services.api.admin.schemas import AdminAct
from services.api.admin.users_router import ONE_ADMINS, Limit
from services.api.bodies import JsonRoute
from services.api.dependencies import AdminPrincipal, AppResources
from services.api.fields import Digits
from services.api.pages import link_next
from shared.ids import MAX_BIGINT, UserId

router = APIRouter(route_class=JsonRoute, prefix="/api/admin/acts", tags=["admin"])

OfUser = Annotated[int, Query(ge=1, le=MAX_BIGINT, description="A user's id."), Digits]


@router.get("", responses=ONE_ADMINS | {422: {"description": "validation_failed, cursor_invalid"}})
async def get_acts(
    request: Request,
    response: Response,
    _admin: AdminPrincipal,
    resources: AppResources,
    subject_id: OfUser | None = None,
    actor_id: OfUser | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> list[AdminAct]:
    """What admins and operators' commands have done, the newest first. The next page is in the `Link` header (RFC 8288)."""
    before = cursors.number(cursor) if cursor else None
    subject = None if subject_id is None else UserId(subject_id)
    actor = None if actor_id is None else UserId(actor_id)
    async with resources.database.connect() as db:
        acts = await list_acts(db, subject_id=subject, actor_id=actor, before=before, limit=limit + 1)
    page = acts[:limit]
    if len(acts) > limit:
        link_next(request, response, cursor=str(page[-1].id))
    return [AdminAct.model_validate(act) for act in page]
