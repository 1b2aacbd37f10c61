"""How providers are asked: within a time and a size, and not again and again while one does not answer."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, Final, Generic, TypeVar

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client

from shared.errors import ProviderUnavailable
from shared.oidc_providers import MAX_DOCUMENT_BYTES, OidcProvider
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 5.0
"""Seconds for one request, from its beginning to the last byte of its answer."""
CONNECT_WITHIN: Final = 3.0
MAX_CONNECTIONS: Final = 8
TRIES: Final = 2
PAUSE: Final = 0.2
"""Seconds between the two tries."""
MAX_BACKOFF: Final = 60.0
"""Seconds, at most, in which a provider that has failed is not asked again."""
STALE_FOR: Final = 3600.0
"""Seconds for which an old document goes on to be used while no new one comes."""
FORCED_EVERY: Final = 10.0
"""Seconds. Anybody can send a token that names an unknown key, and must not make us ask the provider each time."""

Document = TypeVar("Document")


class AnswerUnusable(ValueError):
    """A provider's answer can't be used. The message is a reason of ours, and quotes nothing of the answer."""


FAILURES: Final = (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError, ValueError)
"""How asking fails, whoever is at fault."""


class _Bounded(httpx2.AsyncByteStream):
    """A body of at most MAX_DOCUMENT_BYTES."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for chunk in self._stream:
            taken += len(chunk)
            if taken > MAX_DOCUMENT_BYTES:
                raise AnswerUnusable("too_large")
            yield chunk

    async def aclose(self) -> None:
        """End the connection's use."""
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    """Runs before a body is read. What is compressed is refused: a few bytes of that can be many megabytes."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerUnusable("compressed")
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's
    response.stream = _Bounded(response.stream)


def open_client(provider: OidcProvider, redirect_uri: str, tls: SSLContext) -> AsyncOAuth2Client:
    """A client of one provider, whose certificate `tls` checks.

    It follows no redirects, and keeps no cookies: many people's logins go by it.
    """
    secret = provider.client_secret
    return AsyncOAuth2Client(
        client_id=provider.client_id,
        client_secret=secret.get_secret_value() if secret else None,
        redirect_uri=redirect_uri,
        scope=provider.scopes,
        code_challenge_method="S256",
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "CortexAI"},
        verify=tls,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx2.Timeout(WITHIN, connect=CONNECT_WITHIN),
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
        event_hooks={"response": [_bound]},
    )


async def get_json(client: AsyncOAuth2Client, url: str, *, bearer: str | None = None) -> dict[str, Any]:
    """The JSON object at an address, tried twice where the first failure may pass.

    Raises:
        AnswerUnusable: the answer is none, or too large.
        httpx2.HTTPError, TimeoutError: no answer came, or one of an error.

    """
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    for tried in range(1, TRIES + 1):
        try:
            async with asyncio.timeout(WITHIN):
                response = await client.request("GET", url, headers=headers, withhold_token=True)
            response.raise_for_status()
            return _object(response)
        except (httpx2.HTTPError, TimeoutError) as error:
            if tried == TRIES or _is_lasting(error):
                raise
            await asyncio.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - spreads those who try at once
    raise AssertionError


def _is_lasting(error: Exception) -> bool:
    """Whether the same request would be refused again."""
    return isinstance(error, httpx2.HTTPStatusError) and not error.response.is_server_error


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except (ValueError, RecursionError) as error:
        raise AnswerUnusable("not_json") from error
    if not isinstance(found, dict):
        raise AnswerUnusable("not_json")
    return found


class CachedDocument(Generic[Document]):
    """A document of a provider's, fetched when it is asked for and is older than `fresh_for` seconds.

    Those who ask at once wait for one fetch. After a failure nobody asks for a while, which doubles with each further one; in
    that time, and for STALE_FOR at most, the old document is used.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[Document]],
        *,
        fresh_for: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._fresh_for = fresh_for
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: Document | None = None
        self._fetched = 0.0
        self._failures = 0
        self._ask_from = 0.0
        self._force_from = 0.0

    async def get(self) -> Document:
        """The document.

        Raises:
            ProviderUnavailable: there is none, and none can be fetched.

        """
        async with self._turn:
            if self._kept is not None and self._clock() < self._fetched + self._fresh_for:
                return self._kept
            return await self._renewed()

    async def get_newer(self, than: Document) -> Document:
        """The document once more, fetched anew unless that was done a moment ago, or somebody has a newer one already.

        Raises:
            ProviderUnavailable: as `get`.

        """
        async with self._turn:
            if self._kept is not None and (self._kept is not than or self._clock() < self._force_from):
                return self._kept
            self._force_from = self._clock() + FORCED_EVERY
            return await self._renewed()

    async def _renewed(self) -> Document:
        if self._clock() >= self._ask_from:
            try:
                self._kept = await self._fetch()
            except FAILURES as error:
                self._note(error)
            else:
                self._fetched, self._failures = self._clock(), 0
                return self._kept
        if self._kept is None or self._clock() > self._fetched + self._fresh_for + STALE_FOR:
            raise ProviderUnavailable
        return self._kept

    def _note(self, error: Exception) -> None:
        self._failures += 1
        self._ask_from = self._clock() + min(MAX_BACKOFF, 2.0 ** min(self._failures - 1, 10))
        log.warning("provider_not_answering", document=self._name, failures=self._failures, error=reason_of(error))


def reason_of(error: Exception) -> str:
    """What a log says of a failure: nothing that a provider has said."""
    return str(error) if isinstance(error, AnswerUnusable) else type(error).__name__
