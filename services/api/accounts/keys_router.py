"""API keys: credentials that a person makes for programs."""

from collections.abc import Collection
from datetime import timedelta

from fastapi import APIRouter, status

from services.api.accounts.key_queries import add_key, delete_key, list_keys, rename_key
from services.api.accounts.key_schemas import KeyChange, KeyView, MadeKey, NewKey
from services.api.auth.key_format import new_key
from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, SessionPrincipal
from services.api.fields import BigIntId
from services.api.reauthentication import RecentlyAuthenticated, insist_on_it_still
from shared.errors import ScopeNotAllowed

router = APIRouter(route_class=JsonRoute, prefix="/api/auth/keys", tags=["auth"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        403: {"description": "origin_not_allowed, credential_not_allowed, reauthentication_required"},
        409: {"description": "too_many_keys"},
        422: {"description": "validation_failed, scope_not_allowed"},
    },
)
async def make_key(body: NewKey, principal: RecentlyAuthenticated, resources: AppResources) -> MadeKey:
    """Make an API key. The answer alone has it: only its hash is kept."""
    _insist_on_own_scopes(principal, body.scopes)
    key = new_key()
    lifetime = None if body.expires_in_days is None else timedelta(days=body.expires_in_days)
    async with resources.database.begin() as db:
        row = await add_key(db, principal.user_id, key, name=body.name, scopes=body.scopes, lifetime=lifetime)
        await insist_on_it_still(db, principal, resources)
    return MadeKey(**row._asdict(), key=key)


@router.get("")
async def get_keys(principal: SessionPrincipal, resources: AppResources) -> list[KeyView]:
    """The user's API keys, the newest first, without the keys themselves."""
    async with resources.database.connect() as db:
        rows = await list_keys(db, principal.user_id)
    return [KeyView.model_validate(row) for row in rows]


@router.patch("/{key_id}", responses={404: {"description": "key_not_found"}})
async def change_key(
    key_id: BigIntId, body: KeyChange, principal: SessionPrincipal, resources: AppResources
) -> KeyView:
    """Give an API key another name. What it allows, and for how long, stays as it was made."""
    async with resources.database.connect() as db:
        row = await rename_key(db, principal.user_id, key_id, body.name)
    return KeyView.model_validate(row)


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT, responses={404: {"description": "key_not_found"}})
async def end_key(key_id: BigIntId, principal: SessionPrincipal, resources: AppResources) -> None:
    """End an API key. It is refused from the next request on."""
    async with resources.database.connect() as db:
        await delete_key(db, principal.user_id, key_id)


def _insist_on_own_scopes(principal: Principal, scopes: Collection[str]) -> None:
    """Nobody gives a key what they may not do themselves. Who is no admin any more has keys that are no admin's either.

    Raises:
        ScopeNotAllowed: `admin`, and the principal is no admin.

    """
    if "admin" in scopes and not principal.is_admin:
        raise ScopeNotAllowed("admin")
