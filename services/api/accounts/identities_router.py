"""The identities of an account: see them, and take one away."""

from fastapi import APIRouter, status

from services.api.accounts.identity_queries import list_identities, remove_identity
from services.api.accounts.oidc_schemas import IdentityView
from services.api.accounts.queries import find_own_credentials, void_logins_under_way
from services.api.auth.passwords import rounds_of
from services.api.auth.sessions import end_other_sessions
from services.api.dependencies import AppResources, SessionPrincipal
from services.api.fields import BigIntId
from services.api.reauthentication import RecentlyAuthenticated
from shared.accounts.mails import add_notice

router = APIRouter(prefix="/api/auth/identities", tags=["auth"])


@router.get("")
async def get_identities(principal: SessionPrincipal, resources: AppResources) -> list[IdentityView]:
    """The identities that are linked to the account, the oldest first."""
    async with resources.database.connect() as db:
        rows = await list_identities(db, principal.user_id)
    known = [(row, resources.oidc.provider_of(row.issuer)) for row in rows]
    return [
        IdentityView(
            id=row.id,
            provider=provider and provider.id,
            name=provider and provider.name,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
        )
        for row, provider in known
    ]


@router.delete(
    "/{identity_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={
        403: {"description": "origin_not_allowed, credential_not_allowed, reauthentication_required"},
        404: {"description": "identity_not_found"},
        409: {"description": "last_way_in"},
    },
)
async def delete_identity(identity_id: BigIntId, principal: RecentlyAuthenticated, resources: AppResources) -> None:
    """Take an identity away, unless it is the last way in. All other sessions of the account end."""
    issuers = [provider.settings.issuer for provider in resources.oidc.providers.values()]
    async with resources.database.begin() as db:
        await void_logins_under_way(db, principal.user_id)
        found = await find_own_credentials(db, principal.user_id)
        has_password = resources.password_login and rounds_of(found.password_hash) is not None
        await remove_identity(db, principal.user_id, identity_id, has_password=has_password, issuers=issuers)
        await end_other_sessions(db, principal.user_id, principal.session_id)
        mail_id = await add_notice(db, "identity_removed", principal.user_id)
    if mail_id is not None:
        resources.jobs.mail(mail_id)
