"""Why an endpoint gave no answer: the kind of error that a status, an error body or an error event is.

A message may quote the request. So it is read here, and neither kept, logged nor shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from services.worker.waits import retry_after
from shared import errors

_FAILED: Final = re.compile(r"[45]\d\d")
CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""The form of an error code. A text of another form may be a sentence, and a sentence may quote the request."""
MAX_MESSAGE_CHARS: Final = 20_000
WRONG_ADDRESS: Final = (
    "The language model's address leads elsewhere, or to nothing. "
    "Whoever runs this has to check GROQ_BASE_URL, and any proxy in between."
)
NOT_PAID: Final = (
    "The language model's service wants to be paid for this service's key. "
    "Whoever runs this has to look at the account of GROQ_API_KEY."
)
GONE_CODES: Final = frozenset((
    "model_not_found", "model_decommissioned", "model_not_active", "model_terms_required",
    "model_permission_blocked_org", "model_permission_blocked_project", "model_not_available", "model_not_supported",
    "model_not_allowed", "model_not_exist", "model_deprecated", "invalid_model", "invalid_model_name", "unknown_model",
    "unsupported_model", "no_such_model", "modelnotfound", "deploymentnotfound", "not_found_error",
))  # fmt: skip
"""Error codes for models that do not exist any more, or not yet, or not for this key.

The first are Groq's (console.groq.com/docs/errors), the others those of other endpoints. In small letters.
"""
TOO_LONG_CODES: Final = frozenset((
    "context_length_exceeded", "string_above_max_length", "request_too_large", "prompt_too_long",
    "exceed_context_size_error", "context_window_exceeded", "contextwindowexceedederror", "array_above_max_length",
    "input_too_long", "tokens_limit_reached", "payload_too_large", "contextlengthexceeded",
))  # fmt: skip
TOOL_CODES: Final = frozenset({"tool_use_failed", "output_parse_failed", "tool_call_failed", "malformed_function_call"})
PAY_CODES: Final = frozenset(
    {"insufficient_quota", "insufficient_credits", "billing_hard_limit_reached", "billing_not_active"}
)
PASSING: Final = frozenset({408, 409, 424, 425, 498, 499})
"""Statuses below 500 that are about this moment, not about the request. Those from 500 all are."""
_TOOL_MESSAGE: Final = re.compile(
    r"failed to call a function|model called a tool|tool call validation failed|which was not in request\.tools"
    r"|(?:error|failed) (?:to )?pars\w+ tool call|failed to parse tool call|invalid tool call",
    re.IGNORECASE,
)
_TOO_LONG_MESSAGE: Final = re.compile(
    r"maximum context length|context length (?:is|of|limit|exceeded)|model'?s (?:maximum )?context (?:length|window)"
    r"|reduce the length of|reduce your message size|(?:prompt|input|message|request) (?:is|was) too (?:long|large)"
    r"|request too large for model|too many (?:input |prompt )?tokens|(?:exceeds?|exceeded|larger than|longer than) the "
    r"(?:available |maximum |model'?s )*(?:context|number of (?:input )?tokens|sequence length|input length)"
    r"|(?:exceeds?|exceeded) (?:the )?(?:model'?s )?(?:max\w* )?context|input (?:length|token count)\D{0,20}\d+ ?\)? exceeds"
    r"|`inputs` tokens \+|prompt contains too many tokens|maximum (?:prompt|input) length",
    re.IGNORECASE,
)
_TOO_MUCH_ASKED: Final = re.compile(
    r"`?max_(?:completion_|output_)?tokens`? (?:must be|cannot be|is not)", re.IGNORECASE
)
_GONE_MESSAGE: Final = re.compile(
    r"\bmodel\b.{0,200}\b(?:does not exist|not exist|not found|decommissioned|deprecated and|no longer (?:supported|available)"
    r"|is not (?:supported|available|a valid model)|has been (?:removed|shut down|retired))|not a valid model|unknown model"
    r"|invalid model name",
    re.IGNORECASE | re.DOTALL,
)
_PARAMETER: Final = re.compile(r"reasoning_(?:effort|format)", re.IGNORECASE)
"""What is not supported then is no model."""
_LIMITS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\blimit:? (\d[\d,_]*)",
        r"context (?:length|window|size)(?: limit)?(?: is| of|:)?(?: only| just)? ?\(?(\d[\d,_]*)",
        r"> (\d[\d,_]*) maximum",
        r"(?:<=|at most|up to|maximum of|limit of|limited to|limit is|less than) (\d[\d,_]*)",
        r"(?:number of (?:input )?tokens|tokens) allowed \(?(\d[\d,_]*)",
        r"max(?:imum)?[ _](?:prompt|input|sequence|model|context)[ _](?:length|len|tokens?)\D{0,12}(\d[\d,_]*)",
    )
)
_REQUESTED: Final = re.compile(r"\brequested:? ~?(\d[\d,_]*)", re.IGNORECASE)
LEAST_LIMIT: Final = 64
MOST_LIMIT: Final = 20_000_000
_CONTEXT_FIELDS: Final = ("n_ctx", "max_context_length", "context_length", "max_model_len")
_RATE_WORDS: Final = ("rate_limit", "ratelimit", "too_many_requests", "throttl", "resource_exhausted", "slow_down")
_AUTH_WORDS: Final = ("api_key", "authentication", "unauthorized", "unauthenticated", "permission", "forbidden")
_PASSING_WORDS: Final = (
    "unavailable", "overloaded", "over_capacity", "capacity", "timeout", "timed_out", "server_error", "servererror",
    "internal", "bad_gateway", "badgateway", "upstream", "engine", "connection", "aborted", "cancelled", "api_error",
)  # fmt: skip
_REQUEST_WORDS: Final = ("invalid_request", "badrequest", "bad_request", "invalid_argument", "unprocessable")


@dataclass(frozen=True, slots=True)
class EndpointError:
    """What an error says. `code` and `kind` are the endpoint's `code` and `type`; `status` is an HTTP status or None.

    `limit` is the context's size in tokens, where a field names it. `message` is all texts joined; it is only searched.
    """

    code: str | None = None
    kind: str | None = None
    status: int | None = None
    message: str = ""
    limit: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Code and kind in small letters, as far as there are any."""
        return tuple(name.lower() for name in (self.code, self.kind) if name)


def read_error(body: object) -> EndpointError:
    """What the JSON of an error says, whatever its form."""
    if isinstance(body, list):
        body = next((one for one in body if isinstance(one, dict)), body[0] if body else None)
    error: object = body
    if isinstance(body, dict):
        error = next((body[name] for name in ("error", "errors", "detail", "message") if body.get(name)), body)
        if isinstance(error, list):
            error = error[0] if error else None
    if not isinstance(error, dict):
        # The code then stands beside the text, if anywhere.
        error = {**(body if isinstance(body, dict) else {}), "message": error if isinstance(error, str) else ""}
    code, kind = error.get("code"), error.get("type")
    status = next((n for n in map(_status, (error.get("status"), error.get("status_code"), code)) if n), None)
    if code is None and isinstance(error.get("status"), str):
        code = error["status"]
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else ""
    texts = [
        text for text in (error.get("message"), error.get("msg"), error.get("detail"), raw) if isinstance(text, str)
    ]
    limit = next((error[name] for name in _CONTEXT_FIELDS if isinstance(error.get(name), int)), None)
    return EndpointError(_code(code), _code(kind), status, " ".join(texts)[:MAX_MESSAGE_CHARS], limit)


def error_in(event: dict[str, Any]) -> object | None:
    """The error that an event is; None when the event is none."""
    if event.get("error"):
        return event
    choices = event.get("choices")
    if isinstance(choices, list) and choices:
        first = choices[0]
        return first if isinstance(first, dict) and first.get("error") else None
    if event.get("object") == "error" or event.get("type") == "error" or event.get("status") == "error":
        return event
    if choices is None and (event.get("detail") or event.get("errors")):
        return event
    return event if choices is None and isinstance(event.get("message"), str) and event.get("code") else None


def failure_of_event(body: object) -> errors.ModelError:
    """The failure that an error event is. The endpoint had answered 200 before."""
    return _noted(_kind_of_event(error := read_error(body)), HTTPStatus.OK.value, error)


def failure_of_response(status: int, headers: Mapping[str, str], body: bytes) -> errors.ModelError:
    """The failure that a refused request is. `headers` are looked up whatever their case."""
    try:
        said: object = orjson.loads(body)
    except ValueError:
        said = None
    error = read_error(said)
    if said is None:
        # Not JSON. Its words are searched all the same.
        error = EndpointError(message=body[:MAX_MESSAGE_CHARS].decode(errors="replace"))
    return _noted(_kind_of_response(status, headers, error, is_page=said is None), status, error)


def _noted(failure: errors.ModelError, status: int, error: EndpointError) -> errors.ModelError:
    failure.endpoint_status, failure.endpoint_code = status, error.code
    return failure


def _kind_of_response(  # noqa: PLR0911 - one table, read from top to bottom
    status: int, headers: Mapping[str, str], error: EndpointError, *, is_page: bool
) -> errors.ModelError:
    is_about_request = status not in {401, 402, 407} and not (status == HTTPStatus.FORBIDDEN and is_page)
    if is_about_request and (failure := _kind_of_words(error, status)) is not None:
        return failure
    match status:
        case _ if status < HTTPStatus.BAD_REQUEST:
            return errors.ModelNotAvailable(WRONG_ADDRESS)
        case 405:
            return errors.ModelNotAvailable(WRONG_ADDRESS)
        case 404 if is_page or "unknown_url" in error.names:
            return errors.ModelNotAvailable(WRONG_ADDRESS if error.message or error.names else None)
        case 404 | 410:
            return errors.ModelNotAvailable()
        case 402:
            return errors.ModelAuthFailed(NOT_PAID)
        case 429:
            return errors.ModelRateLimited(retry_after=retry_after(headers, error.message))
        case 401 | 403:
            return errors.ModelAuthFailed()
        case _ if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return errors.ModelUnavailable()
        case _:
            return errors.ModelRejected()


def _kind_of_event(error: EndpointError) -> errors.ModelError:  # noqa: C901, PLR0911 - one table, read from top to bottom
    status = error.status or 0
    if (failure := _kind_of_words(error, status)) is not None:
        return failure
    if status:
        return _kind_of_response(status, {}, error, is_page=False)
    for name in error.names:
        match name:
            case "model_error":
                return errors.ModelBadResponse()
            case _ if any(word in name for word in _RATE_WORDS):
                return errors.ModelRateLimited(retry_after=retry_after({}, error.message))
            case _ if any(word in name for word in _AUTH_WORDS):
                return errors.ModelAuthFailed()
            case _ if any(word in name for word in _PASSING_WORDS):
                return errors.ModelUnavailable()
            case _ if any(word in name for word in _REQUEST_WORDS):
                return errors.ModelRejected()
    if re.search(r"rate.?limit|too many requests", error.message, re.IGNORECASE):
        return errors.ModelRateLimited(retry_after=retry_after({}, error.message))
    if re.search(r"overloaded|unavailable|timed? ?out|at capacity|try again", error.message, re.IGNORECASE):
        return errors.ModelUnavailable()
    return errors.ModelBadResponse()


def _kind_of_words(error: EndpointError, status: int) -> errors.ModelError | None:  # noqa: PLR0911 - one table
    """The failure that codes or, failing these, the message name, whatever the status; None when they name none."""
    names, message = set(error.names), error.message
    is_rate = status == HTTPStatus.TOO_MANY_REQUESTS or any(word in name for word in _RATE_WORDS for name in names)
    may_be_gone = status in {0, 400, 403, 404, 410, 422}
    if names & TOOL_CODES:
        return errors.ModelToolCallFailed()
    if names & PAY_CODES:
        return errors.ModelAuthFailed(NOT_PAID)
    if may_be_gone and names & GONE_CODES:
        return errors.ModelNotAvailable()
    if is_rate and status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_much_at_once(message)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or names & TOO_LONG_CODES or _is_too_long(message):
        return errors.PromptTooLong(limit=_possible(error.limit or _first_number(_LIMITS, message)))
    if _TOOL_MESSAGE.search(message):
        return errors.ModelToolCallFailed()
    is_gone = may_be_gone and _GONE_MESSAGE.search(message) and not _PARAMETER.search(message)
    return errors.ModelNotAvailable() if is_gone else None


def _too_much_at_once(message: str) -> errors.ModelError | None:
    """A request that is larger than a rate limit never fits, however long one waits; None for any other request."""
    limit, requested = _first_number(_LIMITS[:1], message), _first_number((_REQUESTED,), message)
    if limit is not None and requested is not None and requested > limit:
        return errors.PromptTooLong(limit=_possible(limit))
    return errors.PromptTooLong() if "request too large for model" in message.lower() else None


def _is_too_long(message: str) -> bool:
    return bool(_TOO_LONG_MESSAGE.search(message)) and not _TOO_MUCH_ASKED.search(message)


def _first_number(patterns: tuple[re.Pattern[str], ...], message: str) -> int | None:
    found = next((found for pattern in patterns if (found := pattern.search(message))), None)
    digits = re.sub(r"\D", "", found[1])[:12] if found else ""
    return int(digits) if digits else None


def _possible(limit: int | None) -> int | None:
    return limit if limit is not None and LEAST_LIMIT <= limit <= MOST_LIMIT else None


def _code(code: object) -> str | None:
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)
    return code if isinstance(code, str) and CODE.fullmatch(code) else None


def _status(value: object) -> int | None:
    """The HTTP status of a failure that a field has, as a number or a text; None when it has none."""
    found = _FAILED.fullmatch(str(value))
    return int(found[0]) if found else None
