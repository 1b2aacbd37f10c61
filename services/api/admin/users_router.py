"""Users, for admins: list, look at, keep out, give a quota, log out, delete."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import StringConstraints

from services.api import cursors
from services.api.accounts.deletion import end_account, note_deletion
from services.api.admin import queries
from services.api.admin.acts import lock_actor
from services.api.admin.schemas import AdminUser, UserChange
from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import AdminPrincipal, AppResources
from services.api.fields import BigIntId, Digits, Storable
from services.api.generations.cancellation import cancel
from services.api.pages import link_next
from services.api.reauthentication import RecentAdmin
from services.api.usage.queries import find_usage
from services.api.usage.router import Days
from services.api.usage.schemas import Usage
from shared.database.tables import Generation
from shared.errors import OwnAccount
from shared.ids import UserId

router = APIRouter(route_class=JsonRoute, prefix="/api/admin/users", tags=["admin"])

MAX_QUERY_CHARS: Final = 200
ONE_ADMINS: Final[dict[int | str, dict[str, Any]]] = {403: {"description": "admin_only, scope_missing"}}
"""The refusals of routes that read."""
_ACTS: Final[dict[int | str, dict[str, Any]]] = {
    403: {"description": "admin_only, scope_missing, origin_not_allowed, reauthentication_required"},
    404: {"description": "user_not_found"},
}
_NOT_ONES_OWN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "own_account"}}

Limit = Annotated[int, Query(ge=1, le=100, description="Page size."), Digits]
PartOfAddress = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_QUERY_CHARS),
    Storable,
    Query(description="A part of the e-mail address. Case does not matter."),
]


@router.get("", responses=ONE_ADMINS | {422: {"description": "validation_failed, cursor_invalid"}})
async def list_users(
    request: Request,
    response: Response,
    _admin: AdminPrincipal,
    resources: AppResources,
    query: PartOfAddress | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> list[AdminUser]:
    """All users, the newest first. The next page is in the `Link` header (RFC 8288)."""
    before = cursors.number(cursor) if cursor else None
    async with resources.database.connect() as db:
        rows = await queries.list_users(db, query=query, before=before, limit=limit + 1)
    page = rows[:limit]
    if len(rows) > limit:
        link_next(request, response, cursor=str(page[-1].id))
    return [AdminUser.model_validate(row) for row in page]


@router.get("/{user_id}", responses=ONE_ADMINS | {404: {"description": "user_not_found"}})
async def get_user(user_id: BigIntId, _admin: AdminPrincipal, resources: AppResources) -> AdminUser:
    """One user."""
    async with resources.database.connect() as db:
        return AdminUser.model_validate(await queries.find_user(db, UserId(user_id)))


@router.get("/{user_id}/usage", responses=ONE_ADMINS | {404: {"description": "user_not_found"}})
async def get_usage(user_id: BigIntId, _admin: AdminPrincipal, resources: AppResources, days: Days = 30) -> Usage:
    """The tokens of a user's model calls, as `GET /api/usage` tells the user."""
    async with resources.database.connect() as db:
        await queries.find_user(db, UserId(user_id))
        return await find_usage(db, UserId(user_id), days, resources.limits.daily_tokens)


@router.patch("/{user_id}", responses=_ACTS | _NOT_ONES_OWN)
async def change_user(user_id: BigIntId, body: UserChange, admin: RecentAdmin, resources: AppResources) -> AdminUser:
    """Keep a user out or let the user in again, or set the user's quota.

    Whoever is kept out is refused at the next request; open streams are cut within seconds, sessions end, and what is being
    generated is stopped. The quota holds from the next answer on.
    """
    subject = UserId(user_id)
    if body.disabled:
        _insist_on_another(admin, subject)
    async with resources.database.begin() as db:
        actor = await lock_actor(db, admin)
        if body.disabled is not None:
            await queries.set_disabled(db, actor, subject, disabled=body.disabled)
        if "daily_tokens" in body.model_fields_set:
            await queries.set_daily_tokens(db, actor, subject, body.daily_tokens)
        row = await queries.find_user(db, subject)
    if body.disabled:
        mine = Generation.user_id == subject
        await cancel(resources.database, resources.streams, resources.jobs, resources.metrics, mine)
    return AdminUser.model_validate(row)


@router.post("/{user_id}/end-sessions", status_code=status.HTTP_204_NO_CONTENT, responses=_ACTS)
async def end_sessions(user_id: BigIntId, admin: RecentAdmin, resources: AppResources) -> None:
    """End all sessions of a user, who can log in again. Their streams are cut within seconds. API keys stay."""
    async with resources.database.begin() as db:
        actor = await lock_actor(db, admin)
        await queries.end_sessions(db, actor, UserId(user_id))


@router.delete("/{user_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_ACTS | _NOT_ONES_OWN)
async def delete_user(user_id: BigIntId, admin: RecentAdmin, resources: AppResources) -> None:
    """Delete a user's account with everything that belongs to it, as `DELETE /api/auth/me` would."""
    subject = UserId(user_id)
    _insist_on_another(admin, subject)
    await note_deletion(resources, subject)
    async with resources.database.begin() as db:
        actor = await lock_actor(db, admin)
        deleted = await queries.delete_user(db, actor, subject)
    await end_account(resources, subject, deleted)


def _insist_on_another(admin: Principal, subject: UserId) -> None:
    """So the last admin stays one: whoever acts is an admin, and goes on to be one.

    Raises:
        OwnAccount: the account is the admin's own.

    """
    if admin.user_id == subject:
        raise OwnAccount
