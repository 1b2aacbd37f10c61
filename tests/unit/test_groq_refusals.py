"""What kind of failure an endpoint's error is: the statuses, codes and messages of real endpoints."""

import json
from typing import Any

import pytest

from services.worker.models.groq.refusals import failure_of_event, failure_of_response
from services.worker.waits import retry_after
from shared.errors import (
    ModelAuthFailed,
    ModelBadResponse,
    ModelError,
    ModelNotAvailable,
    ModelRateLimited,
    ModelRejected,
    ModelToolCallFailed,
    ModelUnavailable,
    PromptTooLong,
)


def refused(status: int, body: object = None, **headers: str) -> ModelError:
    """The failure of a refused request; a body of bytes is sent as it is, anything else as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of_response(status, {name.replace("_", "-"): value for name, value in headers.items()}, sent)


def error(message: str = "", **fields: object) -> dict[str, Any]:
    """An error body, as OpenAI's."""
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize("status", [408, 409, 424, 425, 498, 499, *range(500, 505), *range(520, 531), 599])
@pytest.mark.parametrize("body", [{}, b"<html><h1>Bad Gateway</h1></html>", b"", error("Internal error", code=None)])
def test_a_status_that_may_soon_be_over_is_passing(status: int, body: object) -> None:
    failure = refused(status, body)
    assert type(failure) is ModelUnavailable
    assert failure.endpoint_status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 405])
def test_an_address_that_sends_elsewhere_is_named(status: int) -> None:
    failure = refused(status, b"<html>moved</html>")
    assert type(failure) is ModelNotAvailable
    assert "GROQ_BASE_URL" in failure.message


def test_a_page_or_an_unknown_path_at_404_is_a_wrong_address_and_anything_else_a_model_that_is_gone() -> None:
    assert "GROQ_BASE_URL" in refused(404, b"<html>404</html>").message
    assert "GROQ_BASE_URL" in refused(404, error("Unknown request URL", code="unknown_url")).message
    assert "GROQ_MODEL" in refused(404, error("The model does not exist", code="model_not_found")).message
    assert "GROQ_MODEL" in refused(404, error("model 'x' not found, try pulling it first", type="api_error")).message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}),
        (410, {}),
        (400, error(code="model_decommissioned")),
        (400, error("x is not a valid model ID", code=400)),
        (400, error("The model `x` has been decommissioned and is no longer supported.")),
        (403, error(code="model_permission_blocked_project")),
        (403, error(code="model_not_found")),
        (400, error("Model Not Exist", type="invalid_request_error", code="invalid_request_error")),
        (400, error(code="model_terms_required")),
        (422, {"detail": "Unknown model: x"}),
    ],
)
def test_a_model_that_is_gone_is_not_available(status: int, body: object) -> None:
    assert type(refused(status, body)) is ModelNotAvailable


TOO_LONG: list[tuple[int, object, int | None]] = [
    (413, {}, None),
    (413, b"<html><h1>413 Request Entity Too Large</h1></html>", None),
    (
        413,
        error(
            "Request too large for model `m` in organization `o` service tier `on_demand` on tokens per minute (TPM): "
            "Limit 6000, Requested 7000, please reduce your message size and try again.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
        6000,
    ),
    (429, error("Rate limit reached on tokens per minute (TPM): Limit 6000, Used 0, Requested 7000."), 6000),
    (400, error("Please reduce the length of the messages or completion.", code="context_length_exceeded"), None),
    (
        400,
        error(
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens "
            "(8000 in the messages, 1000 in the completion)."
        ),
        8192,
    ),
    (
        400,
        {
            "object": "error",
            "message": "You passed 5000 input tokens. However, the model's context length is only 4096 tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
        4096,
    ),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"}, 4096),
    (400, error("string too long", code="string_above_max_length"), None),
    (400, error("the request exceeds the available context size", type="exceed_context_size_error", n_ctx=2048), 2048),
    (400, error("the request exceeds the available context size (2048 tokens), try increasing it"), 2048),
    (400, error("prompt is too long: 207000 tokens > 200000 maximum"), 200_000),
    (
        400,
        [error("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")],
        1_048_576,
    ),
    (400, {"detail": "The prompt is too long for the context window of 32,768 tokens"}, 32_768),
    (400, {"message": "Requested token count exceeds the model's maximum context length of 4096 tokens."}, 4096),
    (500, error("Input length 9000 exceeds the maximum"), None),
    (400, error("maximum context length is 3 tokens"), None),
    (400, error("maximum context length is 99999999999 tokens"), None),
]


@pytest.mark.parametrize(("status", "body", "limit"), TOO_LONG)
def test_a_prompt_that_is_too_long_says_the_limit_where_the_endpoint_does(
    status: int, body: object, limit: int | None
) -> None:
    failure = refused(status, body)
    assert isinstance(failure, PromptTooLong)
    assert failure.limit == limit
    assert "tokens" not in failure.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("Failed to call a function. Please adjust your prompt.", code="tool_use_failed")),
        (400, error("Tool choice is none, but model called a tool", type="invalid_request_error")),
        (400, error("tool call validation failed: attempted to call tool 'x' which was not in request.tools")),
        (400, error("Parsing failed.", code="output_parse_failed")),
        (500, error("error parsing tool call: raw='{', err=unexpected end of JSON input", type="api_error")),
    ],
)
def test_a_model_that_fails_over_calling_a_tool_has_a_kind_of_its_own(status: int, body: object) -> None:
    assert type(refused(status, body)) is ModelToolCallFailed
    assert type(failure_of_event(body)) is ModelToolCallFailed


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, error("Invalid API Key", code="invalid_api_key"), ModelAuthFailed),
        (403, error("Access denied"), ModelAuthFailed),
        (403, b"<html>Attention Required! | Cloudflare: model not found</html>", ModelAuthFailed),
        (402, error("Insufficient credits", code=402), ModelAuthFailed),
        (429, error("You exceeded your current quota", code="insufficient_quota"), ModelAuthFailed),
        (429, error("Rate limit: Limit 100000, Used 99000, Requested 2000."), ModelRateLimited),
        (429, b"slow down", ModelRateLimited),
        (
            400,
            error("`max_tokens` must be less than or equal to `8192`, less than the `context_window`"),
            ModelRejected,
        ),
        (400, error("'messages.0' : wrong"), ModelRejected),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, ModelRejected),
        (418, None, ModelRejected),
    ],
)
def test_other_refusals_have_their_kind(status: int, body: object, kind: type[ModelError]) -> None:
    assert type(refused(status, body)) is kind


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (error(code="some_code"), "some_code"),
        (error(code=400), "400"),
        (error(type="some_type"), None),
        (error(code="a sentence that quotes the request"), None),
        ([error(code=400, status="INVALID_ARGUMENT")], "400"),
        ({"error": "text"}, None),
        ({"error": "text", "code": "beside"}, "beside"),
        ({"detail": "text"}, None),
        ({"message": "text", "code": "top"}, "top"),
        ([], None),
        ("text", None),
        (7, None),
        (None, None),
        ({"error": ["text"]}, None),
        ({"error": {"code": [], "type": {}, "message": 7, "metadata": 3}}, None),
    ],
)
def test_the_endpoints_own_code_is_kept_and_never_its_message(body: object, code: str | None) -> None:
    failure = refused(400, body)
    assert failure.endpoint_code == code
    assert "text" not in str(failure.log_fields)
    assert failure.message == type(failure).default_message()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (error(code="rate_limit_exceeded"), ModelRateLimited),
        (error("Rate limit reached. Please try again in 2s."), ModelRateLimited),
        (error(code=429), ModelRateLimited),
        (error(code=502, metadata={"provider_name": "x"}), ModelUnavailable),
        (error(code="502"), ModelUnavailable),
        (error(type="overloaded_error"), ModelUnavailable),
        (error("x", type="internal_server_error"), ModelUnavailable),
        (error("x", type="internal_server_error", code="model_error"), ModelBadResponse),
        (error("x", type="invalid_request_error"), ModelRejected),
        (error(code="invalid_api_key"), ModelAuthFailed),
        (error(code="model_not_found"), ModelNotAvailable),
        (error("This model's maximum context length is 8192 tokens"), PromptTooLong),
        (error(code=400, metadata={"raw": '{"error":{"message":"prompt is too long"}}'}), PromptTooLong),
        ({"object": "error", "message": "x", "code": 503}, ModelUnavailable),
        ({"error": "something"}, ModelBadResponse),
        ({"error": True}, ModelBadResponse),
    ],
)
def test_an_error_event_has_the_kind_that_it_would_have_as_a_refusal(body: object, kind: type[ModelError]) -> None:
    failure = failure_of_event(body)
    assert type(failure) is kind
    assert failure.endpoint_status == 200


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "Please try again in 7.2s. Visit us", 7.2),
        ({}, "Please try again in 7m12.5s.", 432.5),
        ({}, "Please retry after 20 seconds.", 20),
        ({}, "Try again in 120ms", 0.12),
        ({"retry-after": "3"}, "Please try again in 7.2s", 3),
        ({"retry-after": "-3"}, "Please try again in 7.2s", 7.2),
        ({"retry-after-ms": "1500"}, "", 1.5),
        ({"x-ratelimit-reset-requests": "2m", "x-ratelimit-reset-tokens": "7.66s"}, "", 7.66),
        (
            {
                "x-ratelimit-reset-requests": "2m",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "7.66s",
                "x-ratelimit-remaining-tokens": "10",
            },
            "",
            120,
        ),
        ({}, "Rate limit reached.", None),
        ({}, "", None),
    ],
)
def test_a_wait_is_looked_for_in_headers_and_message(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert retry_after(headers, message) == (None if seconds is None else pytest.approx(seconds))
    failure = failure_of_response(429, headers, json.dumps(error(message)).encode())
    assert isinstance(failure, ModelRateLimited)
    assert failure.retry_after == (None if seconds is None else pytest.approx(seconds))
