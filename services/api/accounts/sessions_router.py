"""Sessions: go on with one, see all, end one or all."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response, status

from services.api.accounts.devices import device_of
from services.api.accounts.logins import client_of, token_of
from services.api.accounts.schemas import LogoutAll, Refresh, SessionView, Token
from services.api.auth.refresh_tokens import read_refresh_token
from services.api.auth.rotation import rotate
from services.api.auth.sessions import end_other_sessions, end_session, list_sessions
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, SessionPrincipal
from services.api.fields import BigIntId
from shared.errors import RefreshTokenInvalid

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

_LOGGED_IN: Final[dict[int | str, dict[str, Any]]] = {403: {"description": "credential_not_allowed"}}


@router.post(
    "/refresh",
    responses={
        401: {"description": "refresh_token_invalid"},
        429: {"description": "too_many_requests"},
        503: {"description": "database_unavailable, too_busy"},
    },
)
async def refresh(request: Request, body: Refresh, resources: AppResources, network: ClientNetwork) -> Token:
    """Exchange a refresh token for another one and an access token.

    A token can be exchanged once. For `REFRESH_GRACE_SECONDS` after that, who presents it again gets the same other one. Later,
    the session ends: the token is in two hands.
    """
    presented = read_refresh_token(body.refresh_token)
    if presented is None:
        raise RefreshTokenInvalid
    # Not counted: who knows no token learns nothing by trying, and those behind one address would keep each other out.
    async with (
        resources.refreshes.take(network, presented.family_hash.hex()),
        resources.database.begin() as db,
    ):
        granted = await rotate(db, presented, resources.refresh_grace, resources.sessions.lifetimes, client_of(request))
    if granted is None:
        raise RefreshTokenInvalid
    return token_of(granted, resources.tokens)


@router.get("/sessions", responses=_LOGGED_IN)
async def get_sessions(principal: SessionPrincipal, resources: AppResources) -> list[SessionView]:
    """Where the user is logged in, the last used first: at most 50."""
    async with resources.database.connect() as db:
        rows = await list_sessions(db, principal.user_id)
    return [
        SessionView(
            **{name: row[name] for name in ("id", "kind", "network", "created_at", "last_used_at", "expires_at")},
            device=device_of(row["user_agent"]),
            is_current=row["id"] == principal.session_id,
        )
        for row in rows
    ]


@router.delete(
    "/sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_LOGGED_IN | {404: {"description": "session_not_found"}},
)
async def delete_session(session_id: BigIntId, principal: SessionPrincipal, resources: AppResources) -> None:
    """End one session. Its streams are cut within seconds."""
    async with resources.database.connect() as db:
        await end_session(db, principal.user_id, session_id)


@router.post("/logout-all", status_code=status.HTTP_204_NO_CONTENT, responses=_LOGGED_IN)
async def logout_all(
    request: Request,
    response: Response,
    principal: SessionPrincipal,
    resources: AppResources,
    body: LogoutAll | None = None,
) -> None:
    """End all sessions of the user, or, with `keep_this`, all but the one that asks. Their streams are cut within seconds."""
    keeps = body is not None and body.keep_this
    async with resources.database.connect() as db:
        await end_other_sessions(db, principal.user_id, principal.session_id if keeps else None)
    if not keeps and principal.credential == "session":
        resources.cookies.clear(request, response)
