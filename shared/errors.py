"""Every error that this product raises on purpose.

CortexAIError
├── BadRequest            the request itself is at fault, whatever it asks for
│   ├── LoginStateInvalid
│   └── UnknownHost
├── InvalidInput          what was sent can't be used
│   ├── CursorInvalid
│   ├── ContentTooLong
│   ├── MemoryTooLarge
│   ├── MemoryItemNotFound
│   ├── MessageNotEditable
│   ├── ModelNotOffered
│   ├── PartNotSupported
│   ├── ParameterNotSupported
│   ├── IdempotencyKeyReused
│   ├── DataSourceUrlInvalid
│   ├── HostNotAllowed
│   ├── DataSourceUnsafe
│   ├── DataSourceNotWritable
│   ├── StatementRefused
│   ├── StatementFailed
│   ├── ChangeTooLarge
│   ├── NotUndoable
│   ├── ScopeNotAllowed
│   ├── PasswordTooCommon
│   ├── PasswordIsTheEmail
│   ├── PasswordIsTheProduct
│   ├── PasswordUnchanged
│   ├── LinkInvalid
│   └── InviteInvalid
├── PayloadTooLarge
├── UnsupportedMediaType
├── Unauthenticated
│   ├── TokenInvalid
│   ├── KeyInvalid
│   ├── SessionInvalid
│   ├── TicketInvalid
│   ├── TicketMismatch
│   ├── RefreshTokenInvalid
│   ├── SecondFactorRequired
│   ├── CodeInvalid
│   ├── IdentityInvalid
│   ├── ProviderRefused
│   └── CredentialsInvalid
├── Forbidden             known who asks, but not like this
│   ├── OriginNotAllowed
│   ├── LoginFromElsewhere
│   ├── CookieNeedsHttps
│   ├── CredentialNotAllowed
│   ├── ScopeMissing
│   ├── AdminOnly
│   ├── ReauthenticationRequired
│   ├── PasswordMismatch
│   ├── CodeMismatch
│   ├── PasswordLoginOff
│   ├── IdentityEmailUnverified
│   ├── IdentityMismatch
│   ├── IdentityNotFresh
│   ├── AccountDisabled
│   ├── SignupClosed
│   └── InviteRequired
├── NotFound              absent, or not yours: the same answer
│   ├── ChatNotFound
│   ├── MessageNotFound
│   ├── ModelNotFound
│   ├── GenerationNotFound
│   ├── ResponseNotFound
│   ├── ConversationNotFound
│   ├── ItemNotFound
│   ├── SessionNotFound
│   ├── DataSourcesOff
│   ├── DataSourceNotFound
│   ├── OperationNotFound
│   ├── ProviderNotFound
│   ├── IdentityNotFound
│   ├── InviteNotFound
│   ├── ApiKeyNotFound
│   └── UserNotFound
├── Conflict
│   ├── OwnAccount
│   ├── EmailTaken
│   ├── EmailAlreadyVerified
│   ├── TooManyKeys
│   ├── TooManyInvites
│   ├── SecondFactorOff
│   ├── SecondFactorAbsent
│   ├── SecondFactorPresent
│   ├── IdentityNotLinked
│   ├── IdentityTaken
│   ├── TooManyIdentities
│   ├── LastWayIn
│   ├── MemoryChanged
│   ├── MessageNameTaken
│   ├── ApprovalNotPending
│   ├── DataSourceNameTaken
│   ├── DataSourceInUse
│   ├── OperationNotPending
│   ├── PreviewMismatch
│   ├── EffectChanged
│   ├── OutcomeUnknown
│   ├── TurnNotLast
│   ├── ItemNotDeletable
│   ├── ItemsChanged
│   └── GenerationInProgress
├── TooMany               more than this user may have
│   ├── TooManyGenerations
│   ├── TooManyDataSources
│   ├── TooManyOperations
│   ├── TooManyRequests   in a time; tells when it is over
│   │   ├── TooManyTries
│   │   ├── TooManySignups
│   │   └── TooManyMails
│   ├── TooManyStreams
│   └── QuotaExceeded
├── Unavailable           a dependency does not answer; worth trying again
│   ├── DatabaseUnavailable
│   ├── StreamsUnavailable
│   ├── TooBusy
│   ├── DataSourceUnreachable
│   ├── DataSourceKeyMissing
│   ├── SecondFactorUnavailable
│   ├── ProviderUnavailable
│   ├── CommitTimedOut
│   ├── CompletionTimedOut
│   └── QueueFull
├── WorkerLost            too many workers died over one answer
├── OperationSuperseded   another worker commits this operation now
├── AppendRefused         the stream log belongs to somebody else now
│   ├── AttemptSuperseded
│   ├── LogClosed
│   └── LogDiverged
├── ModelError            the language model did not give an answer
│   ├── ModelRateLimited
│   ├── ModelAuthFailed
│   ├── ModelRejected
│   │   ├── ModelToolCallFailed
│   │   └── PromptTooLong
│   ├── ModelNotAvailable
│   ├── ModelTimeout
│   ├── ModelUnavailable
│   ├── ModelBadResponse
│   ├── ModelSaidNothing
│   └── SummaryRefused
├── SearchError           the web search did not give an answer
│   ├── SearchRateLimited
│   ├── SearchAuthFailed
│   ├── SearchRejected
│   ├── SearchTimeout
│   ├── SearchUnavailable
│   └── SearchBadResponse
├── MailError             the mail server did not take a mail
│   ├── MailRefused
│   └── MailDeferred
└── SettingsInvalid

A class's docstring is its default message, `code` is stable and part of the public contract. None of them knows HTTP.
"""

from collections.abc import Sequence
from math import ceil
from typing import ClassVar

from shared.ids import GenerationId


class CortexAIError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        self.message = message or type(self).default_message()
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        """The class's docstring, on one line."""
        return " ".join((cls.__doc__ or cls.__name__).split())


class BadRequest(CortexAIError):
    """The request can't be understood."""

    code = "bad_request"


class LoginStateInvalid(BadRequest):
    """This login was not begun in this browser, took too long, or is over; begin again."""

    code = "login_state_invalid"


class UnknownHost(BadRequest):
    """This API is not at the host that the request names."""

    code = "unknown_host"


class InvalidInput(CortexAIError):
    """The request has a value that can't be used."""

    code = "invalid_request"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CursorInvalid(InvalidInput):
    """This cursor was not made by this API."""

    code = "cursor_invalid"


class ContentTooLong(InvalidInput):
    """The message is too long."""

    code = "content_too_long"

    def __init__(self, limit: int, field: str = "content") -> None:
        super().__init__(f"{field}: must have at most {limit} characters", field=field)


class MemoryTooLarge(InvalidInput):
    """A chat's memory can't hold so much."""

    code = "memory_too_large"

    def __init__(self, field: str, limit: int, unit: str) -> None:
        super().__init__(f"{field}: must have at most {limit} {unit}", field=field)


class MemoryItemNotFound(InvalidInput):
    """The memory has nothing of this kind that can be changed."""

    code = "memory_item_not_found"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: names nothing in this memory that can be changed", field=field)


class MessageNotEditable(InvalidInput):
    """Only messages of the user's can be edited; a reply can be generated anew."""

    code = "message_not_editable"


class ModelNotOffered(InvalidInput):
    """This model is not offered here."""

    code = "model_not_offered"

    def __init__(self, offered: Sequence[str]) -> None:
        super().__init__(f"model: must be one of {', '.join(offered)}", field="model")


class PartNotSupported(InvalidInput):
    """A message has a part of a kind that can't be used here."""

    code = "part_not_supported"

    def __init__(self, field: str, kind: str) -> None:
        what = "files can't be attached yet" if kind == "file" else "must be text"
        super().__init__(f"{field}: {what}", field=field)


class ParameterNotSupported(InvalidInput):
    """A request asks for something that the model, or this service, can't do."""

    code = "parameter_not_supported"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}", field=field)


class IdempotencyKeyReused(InvalidInput):
    """This Idempotency-Key was used before, with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(field="Idempotency-Key")


class DataSourceUrlInvalid(InvalidInput):
    """This is no address of a PostgreSQL database."""

    code = "data_source_url_invalid"


class HostNotAllowed(InvalidInput):
    """A data source may not be at this host."""

    code = "host_not_allowed"


class DataSourceUnsafe(InvalidInput):
    """The data source's role, or a pooler before it, does not keep the limits without which nothing runs there."""

    code = "data_source_unsafe"


class DataSourceNotWritable(InvalidInput):
    """The data source has no role that may write: give it a `writer_url`."""

    code = "data_source_not_writable"


class StatementRefused(InvalidInput):
    """This statement may not run here.

    `reason` is a stable word for the rule that refused the statement.
    """

    code = "statement_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"sql: {message}", field="sql")
        self.reason = reason


class StatementFailed(InvalidInput):
    """The data source could not run this statement."""

    code = "statement_failed"


class ChangeTooLarge(InvalidInput):
    """The statement changes too many rows."""

    code = "change_too_large"

    def __init__(self, rows: int, limit: int) -> None:
        super().__init__(f"sql: would change {rows} rows, and at most {limit} may be changed at once", field="sql")
        self.rows = rows


class PasswordTooCommon(InvalidInput):
    """This password is one of those that everybody tries first; choose another one."""

    code = "password_too_common"


class PasswordIsTheEmail(InvalidInput):
    """This password is the e-mail address or a part of it; choose another one."""

    code = "password_is_the_email"


class PasswordIsTheProduct(InvalidInput):
    """This password is the name of this product; choose another one."""

    code = "password_is_the_product"


class PasswordUnchanged(InvalidInput):
    """The new password is the one that the account has; choose another one."""

    code = "password_unchanged"


class LinkInvalid(InvalidInput):
    """This link has ended, was used already, or is none. Ask for another one."""

    code = "link_invalid"

    def __init__(self) -> None:
        super().__init__(field="token")


class InviteInvalid(InvalidInput):
    """This invite has ended, was used already, is for another address, or is none."""

    code = "invite_invalid"

    def __init__(self) -> None:
        super().__init__(field="invite")


class NotUndoable(InvalidInput):
    """This change can't be undone."""

    code = "not_undoable"


class ScopeNotAllowed(InvalidInput):
    """Only an admin may give an API key this scope."""

    code = "scope_not_allowed"

    def __init__(self, scope: str) -> None:
        super().__init__(f"scopes: only an admin may give a key the scope {scope}", field="scopes")


class PayloadTooLarge(CortexAIError):
    """The request's body is too large."""

    code = "payload_too_large"


class UnsupportedMediaType(CortexAIError):
    """The request's body is of a type, or in a form, that can't be read. `field` is the header that says so."""

    code = "unsupported_media_type"

    def __init__(self, message: str | None = None, *, field: str = "Content-Type") -> None:
        super().__init__(message)
        self.field = field


class Unauthenticated(CortexAIError):
    """Authentication is required."""

    code = "unauthenticated"


class TokenInvalid(Unauthenticated):
    """The access token is malformed, expired or not for this service."""

    code = "token_invalid"


class KeyInvalid(Unauthenticated):
    """The API key is malformed, expired, deleted or unknown."""

    code = "key_invalid"


class SessionInvalid(Unauthenticated):
    """The session has ended, or the cookie names none; log in again."""

    code = "session_invalid"


class TicketInvalid(Unauthenticated):
    """The stream ticket is malformed or expired; get another one."""

    code = "ticket_invalid"


class TicketMismatch(Unauthenticated):
    """This ticket is for another stream; get one for this."""

    code = "ticket_mismatch"


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is good for nothing any more; log in again."""

    code = "refresh_token_invalid"


class SecondFactorRequired(Unauthenticated):
    """The password is right; send a code of the second factor too, or a recovery code, as `code`."""

    code = "second_factor_required"


class CodeInvalid(Unauthenticated):
    """The password is right, but the code of the second factor is wrong, or was used before."""

    code = "code_invalid"


class IdentityInvalid(Unauthenticated):
    """What the provider says of you could not be verified; begin again."""

    code = "identity_invalid"

    def __init__(self, reason: str) -> None:
        """`reason` is for the log: a word of ours, nothing that the provider says."""
        super().__init__()
        self.reason = reason


class ProviderRefused(Unauthenticated):
    """The provider did not log you in."""

    code = "provider_refused"


class CredentialsInvalid(Unauthenticated):
    """The e-mail address or the password is wrong."""

    code = "credentials_invalid"


class Forbidden(CortexAIError):
    """The request is not allowed."""

    code = "forbidden"


class OriginNotAllowed(Forbidden):
    """With a cookie, a page of this origin may change nothing; only this API's own origin and the listed ones may."""

    code = "origin_not_allowed"


class LoginFromElsewhere(Forbidden):
    """Another page has begun this login, not one of this system's; open this system's page, and log in there."""

    code = "login_from_elsewhere"


class CookieNeedsHttps(Forbidden):
    """No session cookie is set over plain HTTP; use HTTPS, or localhost, or have the operator set COOKIES_OVER_HTTP."""

    code = "cookie_needs_https"


class CredentialNotAllowed(Forbidden):
    """This can be done only by one who is logged in, not with a credential of this kind."""

    code = "credential_not_allowed"


class ScopeMissing(Forbidden):
    """The API key does not have the scope that this needs."""

    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key does not have the scope that this needs: {scope}.")
        self.scope = scope


class AdminOnly(Forbidden):
    """Only admins may do this."""

    code = "admin_only"


class ReauthenticationRequired(Forbidden):
    """Prove again who you are, by `POST /api/auth/reauthenticate`, or by logging in: the last time was too long ago."""

    code = "reauthentication_required"


class PasswordMismatch(Forbidden):
    """The account's password is another one."""

    code = "password_mismatch"


class CodeMismatch(Forbidden):
    """The code of the second factor is missing, is wrong, or was used before."""

    code = "code_mismatch"


class PasswordLoginOff(Forbidden):
    """Passwords are not taken here; log in by one of the providers of `GET /api/auth/options`."""

    code = "password_login_off"


class IdentityEmailUnverified(Forbidden):
    """The provider does not vouch for an e-mail address of yours, so it can't tell which account is yours."""

    code = "identity_email_unverified"


class IdentityMismatch(Forbidden):
    """This identity is not linked to the account that is logged in."""

    code = "identity_mismatch"


class IdentityNotFresh(Forbidden):
    """The provider does not say that you have just proved to it who you are."""

    code = "identity_not_fresh"


class AccountDisabled(Forbidden):
    """An admin keeps this account out."""

    code = "account_disabled"


class SignupClosed(Forbidden):
    """Nobody can make an account here."""

    code = "signup_closed"


class InviteRequired(Forbidden):
    """An account is made here by invite alone: open the link of yours."""

    code = "invite_required"


class NotFound(CortexAIError):
    """There is no such thing. `field` is the part of the request's body that names the thing."""

    code = "not_found"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ChatNotFound(NotFound):
    """There is no such chat."""

    code = "chat_not_found"


class MessageNotFound(NotFound):
    """There is no such message."""

    code = "message_not_found"


class ModelNotFound(NotFound):
    """There is no such model here."""

    code = "model_not_found"


class GenerationNotFound(NotFound):
    """There is no such generation."""

    code = "generation_not_found"


class ResponseNotFound(NotFound):
    """There is no such response."""

    code = "response_not_found"


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code = "conversation_not_found"


class ItemNotFound(NotFound):
    """There is no such item."""

    code = "item_not_found"


class SessionNotFound(NotFound):
    """There is no such session."""

    code = "session_not_found"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class DataSourcesOff(NotFound):
    """The operator of this system offers no data sources."""

    code = "data_sources_off"


class DataSourceNotFound(NotFound):
    """There is no such data source."""

    code = "data_source_not_found"


class OperationNotFound(NotFound):
    """There is no such operation."""

    code = "operation_not_found"


class ProviderNotFound(NotFound):
    """There is no such provider."""

    code = "provider_not_found"


class InviteNotFound(NotFound):
    """There is no such invite: it was used or removed, or has ended."""

    code = "invite_not_found"


class IdentityNotFound(NotFound):
    """There is no such identity."""

    code = "identity_not_found"


class ApiKeyNotFound(NotFound):
    """There is no such API key."""

    code = "key_not_found"


class Conflict(CortexAIError):
    """The request contradicts the present state."""

    code = "conflict"


class OwnAccount(Conflict):
    """An admin can't do this to the admin's own account; another admin can."""

    code = "own_account"


class EmailTaken(Conflict):
    """An account with this e-mail address exists already."""

    code = "email_taken"
    field: ClassVar[str] = "email"


class EmailAlreadyVerified(Conflict):
    """This account's e-mail address has been verified already."""

    code = "email_already_verified"


class TooManyKeys(Conflict):
    """You have as many API keys as a user may have; delete one first."""

    code = "too_many_keys"


class SecondFactorOff(Conflict):
    """There are no second factors here: the operator has not set DATA_SOURCE_KEYS, which encrypt their secrets."""

    code = "second_factor_off"


class SecondFactorAbsent(Conflict):
    """The account has no second factor, or none that waits for its first code."""

    code = "second_factor_absent"


class SecondFactorPresent(Conflict):
    """The account has a second factor already; take that one away first."""

    code = "second_factor_present"


class IdentityNotLinked(Conflict):
    """An account has your e-mail address. Log in to it by its password, and verify the address or link this identity to it."""

    code = "identity_not_linked"


class IdentityTaken(Conflict):
    """This identity is linked to another account."""

    code = "identity_taken"


class TooManyInvites(Conflict):
    """There are as many invites as there may be; remove one first."""

    code = "too_many_invites"


class TooManyIdentities(Conflict):
    """The account has as many identities as it may have; remove one first."""

    code = "too_many_identities"


class LastWayIn(Conflict):
    """Without this identity nobody could log in to the account any more."""

    code = "last_way_in"


class MemoryChanged(Conflict):
    """The chat's memory has changed since this version; look at it again."""

    code = "memory_changed"


class MessageNameTaken(Conflict):
    """Another message of the chat has this name."""

    code = "message_name_taken"


class ApprovalNotPending(Conflict):
    """No tool call of this chat waits for an approval."""

    code = "approval_not_pending"


class DataSourceNameTaken(Conflict):
    """You have a data source of this name already."""

    code = "data_source_name_taken"
    field: ClassVar[str] = "name"


class DataSourceInUse(Conflict):
    """A change of this data source waits for a decision, or is being committed; decide, and try again when it is over."""

    code = "data_source_in_use"


class OperationNotPending(Conflict):
    """This operation has been decided already, or has expired."""

    code = "operation_not_pending"


class PreviewMismatch(Conflict):
    """This is not the preview that the operation has; look at the operation again."""

    code = "preview_mismatch"
    field: ClassVar[str] = "digest"


class EffectChanged(Conflict):
    """The data has changed since the preview, so the effect would be another one; nothing was changed."""

    code = "effect_changed"


class OutcomeUnknown(Conflict):
    """The data source can't tell any more whether this change was committed; look at the rows."""

    code = "outcome_unknown"


class TurnNotLast(Conflict):
    """Only the last turn of the chat can be deleted."""

    code = "turn_not_last"


class ItemNotDeletable(Conflict):
    """This item is part of a response: delete the response."""

    code = "item_not_deletable"


class ItemsChanged(Conflict):
    """The conversation's items have changed meanwhile; ask again."""

    code = "items_changed"


class GenerationInProgress(Conflict):
    """This chat is already generating a reply."""

    code = "generation_in_progress"

    def __init__(self, generation_id: GenerationId) -> None:
        super().__init__()
        self.generation_id = generation_id


class TooMany(CortexAIError):
    """There are too many of these; try again later."""

    code = "too_many"


class TooManyGenerations(TooMany):
    """Too many answers are being generated for you at the same time; try again when one is finished."""

    code = "too_many_generations"


class TooManyDataSources(TooMany):
    """You have as many data sources as a user may have; delete one first."""

    code = "too_many_data_sources"


class TooManyOperations(TooMany):
    """Too many of your operations wait for a decision; approve or refuse one first."""

    code = "too_many_operations"


class TooManyRequests(TooMany):
    """You have asked for this too often; try again later."""

    code = "too_many_requests"

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = max(1, seconds)  # until asking again may help


class TooManyTries(TooManyRequests):
    """Too many wrong passwords or codes were tried; try again later."""

    code = "too_many_tries"


class TooManySignups(TooManyRequests):
    """Too many accounts were made from your network; try again later."""

    code = "too_many_signups"


class TooManyMails(TooManyRequests):
    """Too many mails were asked for, to this address or from your network; try again later."""

    code = "too_many_mails"


class TooManyStreams(TooMany):
    """You read too many streams at the same time; try again when one has ended."""

    code = "too_many_streams"


class QuotaExceeded(TooMany):
    """Your tokens for today are used up; they are counted anew from midnight, UTC."""

    code = "quota_exceeded"


class Unavailable(CortexAIError):
    """A part that this request needs does not answer; try again."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    """The database does not answer; try again."""

    code = "database_unavailable"


class StreamsUnavailable(Unavailable):
    """The stream log does not answer; try again."""

    code = "streams_unavailable"


class DataSourceUnreachable(Unavailable):
    """The data source does not answer, or does not let us in."""

    code = "data_source_unreachable"


class SecondFactorUnavailable(Unavailable):
    """The second factor can't be checked: its key is missing in DATA_SOURCE_KEYS. A recovery code is taken all the same."""

    code = "second_factor_unavailable"


class ProviderUnavailable(Unavailable):
    """The provider does not answer as it should; try again in a while."""

    code = "provider_unavailable"


class DataSourceKeyMissing(Unavailable):
    """The data source's address can't be decrypted: a key is missing in DATA_SOURCE_KEYS."""

    code = "data_source_key_missing"


class CommitTimedOut(Unavailable):
    """This was tried several times and did not come to its end in time; nothing was changed."""

    code = "commit_timed_out"


class CompletionTimedOut(Unavailable):
    """The answer took too long. Ask for a stream, or for less."""

    code = "completion_timed_out"


class TooBusy(Unavailable):
    """Too many requests of this kind are waiting; try again."""

    code = "too_busy"


class QueueFull(Unavailable):
    """Too many messages are waiting to be answered; try again later."""

    code = "queue_full"


class WorkerLost(CortexAIError):
    """The answer was interrupted too often."""

    code = "worker_lost"


class AppendRefused(CortexAIError):
    """The stream log did not take the frames."""

    code = "append_refused"


class AttemptSuperseded(AppendRefused):
    """A later attempt has opened this log."""

    code = "attempt_superseded"


class LogClosed(AppendRefused):
    """A terminal frame has ended this log."""

    code = "log_closed"


class LogDiverged(AppendRefused):
    """The log does not end where its writer left it."""

    code = "log_diverged"

    def __init__(self, last_sequence: int, owner: int) -> None:
        super().__init__()
        self.last_sequence = last_sequence
        self.owner = owner


class OperationSuperseded(CortexAIError):
    """A later attempt commits this operation, or the operation is gone."""

    code = "operation_superseded"


class ModelError(CortexAIError):
    """The language model did not give an answer."""

    code = "model_error"

    # For logs; None where it is not known. The endpoint's own status and error code are never shown to users.
    model: str | None = None
    endpoint_status: int | None = None
    endpoint_code: str | None = None

    @property
    def log_fields(self) -> dict[str, object]:
        """What a log line says of this failure: codes and names, no content."""
        return {
            "code": self.code,
            "model": self.model,
            "endpoint_status": self.endpoint_status,
            "endpoint_code": self.endpoint_code,
        }


class ModelRateLimited(ModelError):
    """The language model is over its rate limit; try again later."""

    code = "model_rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        if message is None and retry_after is not None:
            message = f"The language model is over its rate limit; try again in {_in_words(retry_after)}."
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds, where the model's endpoint named a time."""


def _in_words(seconds: float) -> str:
    """A time to wait, rounded up: `5 seconds`, `8 minutes`, `2 hours`."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds > size:
            return f"{ceil(seconds / size)} {unit}s"
    whole = max(1, ceil(seconds))
    return f"{whole} second{'s' if whole > 1 else ''}"


class ModelAuthFailed(ModelError):
    """The language model refused this service's key. Whoever runs this has to check GROQ_API_KEY."""

    code = "model_auth_failed"


class ModelRejected(ModelError):
    """The language model refused the request. Try other words, or another model."""

    code = "model_rejected"


class ModelToolCallFailed(ModelRejected):
    """The language model could not call a tool in the right form. Send the message again, or choose another model."""

    code = "model_tool_call_failed"


class PromptTooLong(ModelRejected):
    """The message and what belongs to it are too long for the language model. Send a shorter message."""

    code = "prompt_too_long"

    def __init__(self, message: str | None = None, *, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        """How many tokens the model takes in all, where its endpoint said so."""


class ModelNotAvailable(ModelError):
    """The language model does not exist at its service. Whoever runs this has to name another one in GROQ_MODEL."""

    code = "model_not_available"


class ModelTimeout(ModelError):
    """The language model took too long; try again."""

    code = "model_timeout"


class ModelUnavailable(ModelError):
    """The language model can't be reached; try again later."""

    code = "model_unavailable"


class ModelBadResponse(ModelError):
    """The language model broke off or sent something unreadable. Send the message again."""

    code = "model_bad_response"


class ModelSaidNothing(ModelError):
    """The language model gave an empty answer. Send the message again."""

    code = "model_said_nothing"


class SummaryRefused(ModelError):
    """The language model did not want to summarize this."""

    code = "summary_refused"


class SearchError(CortexAIError):
    """The web search failed."""

    code = "search_failed"


class SearchRateLimited(SearchError):
    """The web search is over its rate limit or its plan's; try again later."""

    code = "search_rate_limited"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SearchAuthFailed(SearchError):
    """The web search refused this service's key."""

    code = "search_auth_failed"


class SearchRejected(SearchError):
    """The web search refused the request."""

    code = "search_rejected"


class SearchTimeout(SearchError):
    """The web search took too long."""

    code = "search_timeout"


class SearchUnavailable(SearchError):
    """The web search can't be reached; try again later."""

    code = "search_unavailable"


class SearchBadResponse(SearchError):
    """The web search sent something unreadable."""

    code = "search_bad_response"


class MailError(CortexAIError):
    """The mail was not sent."""

    code = "mail_failed"

    def __init__(self, reason: str, reply: int | None = None) -> None:
        super().__init__()
        self.reason = reason
        """A word for logs. What the server has said may quote the address."""
        self.reply = reply
        """The number of the server's reply; None where there was none."""


class MailRefused(MailError):
    """The mail server will never take this mail."""

    code = "mail_refused"


class MailDeferred(MailError):
    """The mail server did not take this mail now."""

    code = "mail_deferred"


class SettingsInvalid(CortexAIError):
    """A setting is missing or unusable."""

    code = "settings_invalid"
