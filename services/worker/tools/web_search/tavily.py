"""Tavily's client, which one web search tool uses. Only this folder knows Tavily."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import tavily.errors
from tavily import AsyncTavilyClient

from services.worker.waits import retry_after
from shared import errors
from shared.protocol.encoding import clean
from shared.proxies import find_way
from shared.telemetry.logs import get_logger
from shared.visible_text import cut, without_hidden

log = get_logger(__name__)

TAVILY_URL: Final = "https://api.tavily.com"
PROXY_SCHEMES: Final = frozenset({"http", "https"})
MAX_QUERY_CHARS: Final = 400
"""What Tavily takes."""
MAX_TITLE_CHARS: Final = 200
MAX_URL_CHARS: Final = 2_000
MAX_CONTENT_CHARS: Final = 1_500
MAX_BODY_BYTES: Final = 1024 * 1024
"""Of an answer on the wire, which is not compressed. Twenty results have some 100 KB."""

RETRY_DELAY: Final = 0.25
"""Seconds before the second try, where Tavily does not name a time itself."""
MAX_RETRY_WAIT: Final = 2.0
"""A Retry-After of more seconds is not waited for."""

# A key goes into a header. An error about a key with other characters would quote the key.
_KEY: Final = re.compile(r"[!-~]+")
_LINE_ENDS: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Browsers read a backslash as a slash, so a backslash can hide the real host. The other characters end an attribute or
# a link.
_NEVER_IN_A_URL: Final = re.compile(r'[\s\\"<>]')


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page that may be cited. `content` is an excerpt. All texts are a stranger's: no instructions, no HTML."""

    url: str
    title: str
    content: str


class Search:
    """Searches the web, through Tavily. Safe for any number of concurrent searches on one event loop."""

    def __init__(self, key: str, base_url: str | None, *, timeout: float, max_results: int) -> None:
        if not _KEY.fullmatch(key):
            # Without a key the library would ask a public service, with which nobody has a contract.
            raise errors.SettingsInvalid("TAVILY_API_KEY: is not set or has characters that no key has")
        self._timeout = timeout
        self._max_results = max_results
        base_url = base_url.rstrip("/") if base_url else TAVILY_URL
        # The library's own client has no hooks: it reads bodies of any size, and takes 403 and a spent plan for the
        # same.
        self._http = httpx.AsyncClient(
            # A transport of our own, because the client can't be made over some of the proxies that the environment has.
            transport=httpx.AsyncHTTPTransport(
                proxy=find_way(base_url, PROXY_SCHEMES).proxy,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            ),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_check]},
            follow_redirects=False,
        )
        self._tavily = AsyncTavilyClient(api_key=key, api_base_url=base_url, client=self._http)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def find(self, query: str) -> list[SearchResult]:
        """The results, the best one first; none where nothing was found.

        A failure that may soon be over is tried once more.

        Raises:
            SearchError: one of its kinds.

        """
        query = _line(query, MAX_QUERY_CHARS)
        if not query:
            raise errors.SearchRejected
        try:
            async with asyncio.timeout(self._timeout) as limit:
                try:
                    return await self._ask(query)
                except errors.SearchError as failure:
                    wait = _wait_before_retry(failure)
                    if wait is None or asyncio.get_running_loop().time() + wait >= (limit.when() or 0):
                        raise
                    log.warning("search_retry", error=failure.code, wait=wait)
                await asyncio.sleep(wait)
                return await self._ask(query)
        except TimeoutError as error:
            raise errors.SearchTimeout from error

    async def _ask(self, query: str) -> list[SearchResult]:
        try:
            # The public method takes a broken answer without results for one that found nothing.
            answer = await self._tavily._search(  # noqa: SLF001
                query, max_results=self._max_results, timeout=self._timeout
            )
            return _sources(answer, self._max_results)
        except (tavily.errors.TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            # The answer is no JSON, is nested too deeply, or lacks what an answer has.
            raise errors.SearchBadResponse from error


async def _check(response: httpx.Response) -> None:
    """Before the body is read: refuse what is no answer, and bound the body of what is one.

    Raises:
        SearchError: one of its kinds. Tavily's own message may quote the query, so it is dropped.

    """
    match response.status_code:
        case HTTPStatus.OK:
            pass
        case 401 | 403:
            raise errors.SearchAuthFailed
        case 429:
            raise errors.SearchRateLimited(retry_after=retry_after(response.headers, ""))
        case 432 | 433:  # the limit of the plan or of paying as you go, which is not over in seconds
            raise errors.SearchRateLimited
        case 408:
            raise errors.SearchUnavailable
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise errors.SearchUnavailable
        case status if status >= HTTPStatus.BAD_REQUEST:
            raise errors.SearchRejected
        case _:
            raise errors.SearchBadResponse
    if response.headers.get("content-encoding", "identity") != "identity":
        raise errors.SearchBadResponse  # not asked for; and the bound would not hold for the unpacked body
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx.AsyncByteStream):
    """A body of which at most MAX_BODY_BYTES are read."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise errors.SearchBadResponse
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


def _failure(error: Exception) -> errors.SearchError:
    match error:
        case tavily.errors.TimeoutError() | httpx.TimeoutException():
            return errors.SearchTimeout()
        case httpx.TransportError():
            return errors.SearchUnavailable()
        case _:
            return errors.SearchBadResponse()


def _wait_before_retry(failure: errors.SearchError) -> float | None:
    """Seconds until another try; None when the failure will not be over soon."""
    match failure:
        case errors.SearchUnavailable():
            return RETRY_DELAY
        case errors.SearchRateLimited(retry_after=float(wait)) if wait <= MAX_RETRY_WAIT:
            return wait
        case _:
            return None


def _sources(answer: Any, limit: int) -> list[SearchResult]:  # noqa: ANN401 - whatever Tavily sent
    """The pages of an answer that can be cited, each once, at most `limit`. Results without a page are left out.

    Raises:
        TypeError, KeyError: the answer does not have the shape of one, or none of its results has.

    """
    results = answer["results"]
    if not isinstance(results, list):
        raise TypeError("the results are no list")
    found: dict[str, SearchResult] = {}
    misshapen = 0
    for result in results:
        url = result.get("url") if isinstance(result, dict) else None
        if not isinstance(url, str):
            misshapen += 1
            continue
        host = _host(url)
        if host and url not in found and len(found) < limit:
            title, content = _string(result.get("title")), _string(result.get("content"))
            found[url] = SearchResult(url, _line(title, MAX_TITLE_CHARS) or host, _text(content, MAX_CONTENT_CHARS))
    if misshapen:
        log.warning("search_results_misshapen", misshapen=misshapen, of=len(results))
        if misshapen == len(results):
            raise TypeError("no result is one")
    return list(found.values())


def _string(value: object) -> str:
    """The text that stands where a text belongs; anything else, such as a number, says nothing."""
    return value if isinstance(value, str) else ""


def _host(url: str) -> str | None:
    """The host of a URL to which a reader may be sent; None when no reader may be sent there.

    A URL that is too long is refused, since a URL that is cut leads elsewhere.
    """
    if len(url) > MAX_URL_CHARS or not url.isprintable() or _NEVER_IN_A_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:  # https://bank.example@evil.example
        return None
    return parts.hostname


def _text(text: str, limit: int) -> str:
    """`text` with plain line ends and without hidden characters, cut to `limit` characters."""
    return cut(clean(without_hidden(_LINE_ENDS.sub("\n", text))).strip(), limit).rstrip()


def _line(text: str, limit: int) -> str:
    """Like `_text`, on one line."""
    return cut(" ".join(_text(text, len(text)).split()), limit).rstrip()
