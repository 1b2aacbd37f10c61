"""Logging in by an OpenID provider: the way there, and the way back. Source: OpenID Connect Core 1.0, section 3.1; RFC 9700.

A browser opens both in its window. Where it asks for a page, it is led to one, also when it is refused. To link an identity or
to prove one again, the page asks for the way there by POST.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.api.accounts.identity_queries import goes_on, link_identity, use_identity
from services.api.accounts.logins import begin_cookie_session
from services.api.accounts.oidc_schemas import ProviderAddress, ProviderId, ReturnTarget, ReturnTo
from services.api.accounts.provider_login import find_or_make_account
from services.api.auth.oidc.login_states import LoginState
from services.api.auth.oidc.provider import Identified, Provider, known_error
from services.api.auth.origin_check import refuse_other_origins
from services.api.auth.principal import Principal
from services.api.auth.sessions import note_authentication
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, SessionPrincipal
from services.api.media_ranges import accepted
from services.api.reauthentication import RecentlyAuthenticated
from services.api.resources import Resources
from shared.errors import (
    CortexAIError,
    IdentityInvalid,
    IdentityMismatch,
    LoginStateInvalid,
    ProviderRefused,
    ReauthenticationRequired,
    SessionInvalid,
)
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

router = APIRouter(route_class=JsonRoute, prefix="/api/auth/oidc", tags=["auth"])

MAX_CODE_CHARS: Final = 4096
SEE_OTHER: Final = HTTPStatus.SEE_OTHER
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THERE: Final[dict[int | str, dict[str, Any]]] = {
    303: {"description": "to the provider"},
    403: {"description": "login_from_elsewhere, cookie_needs_https"},
    404: {"description": "provider_not_found"},
    503: {"description": "database_unavailable, provider_unavailable"},
}
_BY_POST: Final[dict[int | str, dict[str, Any]]] = {
    403: {"description": "origin_not_allowed, credential_not_allowed, cookie_needs_https, reauthentication_required"},
    404: {"description": "provider_not_found"},
    503: {"description": "database_unavailable, provider_unavailable"},
}
_BACK: Final[dict[int | str, dict[str, Any]]] = {
    303: {"description": "to the page"},
    400: {"description": "login_state_invalid"},
    401: {"description": "identity_invalid, provider_refused, credentials_invalid, session_invalid"},
    403: {
        "description": "identity_email_unverified, identity_mismatch, identity_not_fresh, account_disabled, "
        "signup_closed, invite_required, cookie_needs_https"
    },
    404: {"description": "provider_not_found"},
    409: {"description": "identity_not_linked, identity_taken, too_many_identities"},
    429: {"description": "too_many_signups"},
    503: {"description": "database_unavailable, provider_unavailable, too_busy"},
}


@router.get("/{provider}/login", status_code=SEE_OTHER, response_class=RedirectResponse, responses=_THERE)
async def go_to_provider(
    provider: ProviderId, request: Request, resources: AppResources, return_to: ReturnTo = "/"
) -> Response:
    """Begin to log in: to the provider, and from there back to `return_to`, a path of the page."""
    state = LoginState(provider, "login", return_to)

    async def go() -> Response:
        refuse_other_origins(request, resources.cookies.origins)
        url = await _begun(request, response := Response(), resources, state)
        return RedirectResponse(url, SEE_OTHER, headers=_cookies_of(response))

    return await _or_page(request, resources, return_to, go)


@router.get("/{provider}/callback", status_code=SEE_OTHER, response_class=RedirectResponse, responses=_BACK)
async def come_back(
    provider: ProviderId,
    request: Request,
    resources: AppResources,
    network: ClientNetwork,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=MAX_CODE_CHARS)] = "",
    iss: Annotated[str | None, Query(max_length=2048)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Where the provider sends the browser back to. Begins a session by a cookie, and leads to the page."""
    begun = _begun_here(request, resources, provider, state)

    async def finish() -> Response:
        if begun is None or not await resources.oidc.states.use(begun):
            raise LoginStateInvalid
        asked = resources.oidc.provider(provider)
        await asked.check_issuer(iss)
        if error is not None or not code:
            log.info("provider_refused", provider=provider, error=known_error(error))
            raise ProviderRefused
        response = RedirectResponse(resources.oidc.public_url + begun.return_to, SEE_OTHER)
        await _PURPOSES[begun.purpose](_Back(request, response, resources, asked, begun, code, network))
        return response

    answer = await _or_page(request, resources, begun.return_to if begun else "/", finish)
    if begun is not None:
        resources.oidc.cookies.clear(request, answer)
    return answer


@router.post("/{provider}/link", responses=_BY_POST)
async def begin_link(
    provider: ProviderId,
    request: Request,
    response: Response,
    principal: RecentlyAuthenticated,
    resources: AppResources,
    body: ReturnTarget | None = None,
) -> ProviderAddress:
    """Begin to link an identity to the account: the browser goes to `url`, and comes back to `return_to`."""
    return await _begun_by(principal, request, response, resources, LoginState(provider, "link", _target(body)))


@router.post("/{provider}/reauthenticate", responses=_BY_POST)
async def begin_proof(
    provider: ProviderId,
    request: Request,
    response: Response,
    principal: SessionPrincipal,
    resources: AppResources,
    body: ReturnTarget | None = None,
) -> ProviderAddress:
    """Begin to prove once more who is logged in: the provider asks for a password, or whatever else it knows people by."""
    return await _begun_by(principal, request, response, resources, LoginState(provider, "proof", _target(body)))


def _target(body: ReturnTarget | None) -> str:
    return (body or ReturnTarget()).return_to


async def _begun_by(
    principal: Principal, request: Request, response: Response, resources: Resources, state: LoginState
) -> ProviderAddress:
    if principal.session_id is None:
        raise ReauthenticationRequired  # a token of the release before, which belongs to no session
    # Another page's token must not begin anything in this browser: whose identity comes back is linked to the token's account.
    resources.cookies.refuse_foreign_pages(request)
    state = LoginState(
        state.provider, state.purpose, state.return_to, user_id=principal.user_id, session_id=principal.session_id
    )
    return ProviderAddress(url=await _begun(request, response, resources, state))


async def _begun(request: Request, response: Response, resources: Resources, state: LoginState) -> str:
    """The address at the provider. The answer's cookie has the state: the browser alone that has it can come back.

    Raises:
        ProviderNotFound, ProviderUnavailable, CookieNeedsHttps: as they say.

    """
    provider = resources.oidc.provider(state.provider)
    resources.oidc.cookies.insist_on_transport(request)
    url = await provider.address_for(state)
    resources.oidc.cookies.write(request, response, resources.oidc.states.seal(state))
    return url


def _begun_here(request: Request, resources: Resources, provider: str, told: str) -> LoginState | None:
    """The login that this browser has begun, if it is this very one."""
    kept = resources.oidc.cookies.read(request)
    if len(kept) != 1 or not told:
        return None  # of several cookies, somebody else has set one
    begun = resources.oidc.states.open(kept[0])
    return begun if begun is not None and (begun.state, begun.provider) == (told, provider) else None


class _Back(NamedTuple):
    """A browser that has come back from a provider, with a code for who it is. `response` gets the cookies."""

    request: Request
    response: Response
    resources: Resources
    provider: Provider
    state: LoginState
    code: str
    network: str

    async def identify(self) -> Identified:
        """Whom the provider has identified, as `Provider.identify` says."""
        return await self.provider.identify(self.code, self.state, self.network)


async def _log_in(back: _Back) -> None:
    back.resources.cookies.insist_on_transport(back.request)
    identified = await back.identify()
    found = await find_or_make_account(back.resources, back.provider, identified, back.network)
    # A provider that knows the browser asks for nothing. So only what it says tells when the person has proved something.
    told = identified.identity.auth_time
    proved = _LONG_AGO if told is None else datetime.fromtimestamp(told, UTC)
    await begin_cookie_session(back.request, back.response, back.resources, found, authenticated_at=proved)


async def _link(back: _Back) -> None:
    identity = (await back.identify()).identity
    user_id, session_id = _who(back.state)
    async with back.resources.database.begin() as db:
        mail_id = await link_identity(db, user_id, session_id, identity.issuer, identity.subject)
    if mail_id is not None:
        back.resources.jobs.mail(mail_id)
        log.info("identity_linked", user_id=user_id, provider=back.state.provider, how="by_user")


async def _prove(back: _Back) -> None:
    identity = (await back.identify()).identity
    user_id, session_id = _who(back.state)
    async with back.resources.database.begin() as db:
        if await use_identity(db, identity.issuer, identity.subject) != user_id:
            raise IdentityMismatch
        if not await goes_on(db, user_id, session_id):
            raise SessionInvalid
        await note_authentication(db, user_id, session_id)


def _who(state: LoginState) -> tuple[UserId, int]:
    if state.user_id is None or state.session_id is None:
        raise LoginStateInvalid
    return UserId(state.user_id), state.session_id


_PURPOSES: Final = {"login": _log_in, "link": _link, "proof": _prove}


async def _or_page(
    request: Request, resources: Resources, return_to: str, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer, or, where a browser asks for a page, a way to the page that says by a code why there is none."""
    try:
        return await answer()
    except CortexAIError as error:
        if isinstance(error, IdentityInvalid):
            log.warning("identity_refused", reason=error.reason)
        if not accepted(request.headers).get("text/html") or not resources.oidc.providers:
            raise
        path, mark, fragment = return_to.partition("#")
        query = f"{'&' if '?' in path else '?'}oidc_error={error.code}"
        return RedirectResponse(f"{resources.oidc.public_url}{path}{query}{mark}{fragment}", SEE_OTHER)


def _cookies_of(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name == "set-cookie"}
