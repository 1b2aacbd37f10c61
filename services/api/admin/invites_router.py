"""Invites, for admins: make one, list, take one back."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response, status

from services.api import cursors
from services.api.accounts.password_login import TAKES_PASSWORDS
from services.api.admin.acts import lock_actor
from services.api.admin.invite_queries import count_invites, list_invites
from services.api.admin.schemas import AdminInvite, InviteWanted, NewAdminInvite
from services.api.admin.users_router import ONE_ADMINS, Limit
from services.api.bodies import JsonRoute
from services.api.dependencies import AdminPrincipal, AppResources, ClientNetwork
from services.api.fields import BigIntId
from services.api.pages import link_next
from services.api.reauthentication import RecentAdmin
from shared.accounts.invites import make_invite, remove_invite
from shared.accounts.links import url_of
from shared.errors import InviteNotFound, SignupClosed, TooManyInvites

router = APIRouter(route_class=JsonRoute, prefix="/api/admin/invites", tags=["admin"])

MAX_INVITES: Final = 1000
"""So many can be used at a time. Requests at once may make a few more."""
_REFUSED: Final = "admin_only, scope_missing, origin_not_allowed, reauthentication_required"


@router.get("", responses=ONE_ADMINS | {422: {"description": "validation_failed, cursor_invalid"}})
async def get_invites(
    request: Request,
    response: Response,
    _admin: AdminPrincipal,
    resources: AppResources,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> list[AdminInvite]:
    """The invites that can be used, the newest first. The next page is in the `Link` header (RFC 8288)."""
    before = cursors.number(cursor) if cursor else None
    async with resources.database.connect() as db:
        rows = await list_invites(db, before=before, limit=limit + 1)
    page = rows[:limit]
    if len(rows) > limit:
        link_next(request, response, cursor=str(page[-1].id))
    return [AdminInvite.model_validate(row) for row in page]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    dependencies=TAKES_PASSWORDS,
    responses={
        403: {"description": f"{_REFUSED}, signup_closed, password_login_off"},
        409: {"description": "too_many_invites"},
        429: {"description": "too_many_mails"},
    },
)
async def invite(
    request: Request,
    admin: RecentAdmin,
    resources: AppResources,
    network: ClientNetwork,
    body: InviteWanted | None = None,
) -> NewAdminInvite:
    """Make an invite, for one address or for whoever has its link. The link is told here alone, and is good once.

    Where mail is on, another link of the same invite is mailed to the address.
    """
    if resources.signup_mode == "closed":
        raise SignupClosed
    email = body.email if body else None
    by_mail = resources.has_mail and email is not None
    if by_mail and email is not None:
        await resources.mail_limit.take(network, email)
    async with resources.database.begin() as db:
        actor = await lock_actor(db, admin)
        if await count_invites(db) >= MAX_INVITES:
            raise TooManyInvites
        made = await make_invite(db, actor, resources.invite_lifetime, email=email, by_mail=by_mail)
    if made.mail_id is not None:
        resources.jobs.mail(made.mail_id)
    # Where the operator has not told the page's address, it is the one by which the admin has come.
    page = resources.public_url or str(request.base_url).rstrip("/")
    link = url_of(page, "invite", made.token)
    return NewAdminInvite(
        id=made.id, email=email, expires_at=made.expires_at, link=link, mailed=made.mail_id is not None
    )


@router.delete(
    "/{invite_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={403: {"description": _REFUSED}, 404: {"description": "invite_not_found"}},
)
async def delete_invite(invite_id: BigIntId, admin: RecentAdmin, resources: AppResources) -> None:
    """Take an invite back: its links are good no more, and a mail that waits is not sent."""
    async with resources.database.begin() as db:
        actor = await lock_actor(db, admin)
        if not await remove_invite(db, actor, invite_id):
            raise InviteNotFound
