"""The tables. Alembic makes and changes them (migrations/); a test proves that both say the same."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Text,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import MetaData

from shared.states import GenerationStatus, MessageStatus

SEGMENT_KINDS = ("summary", "extract", "edited")
FACT_KINDS = (
    "identity", "health", "preference", "instruction", "decision", "relation", "date", "number", "place", "other",
)  # fmt: skip
FACT_SOURCES = ("user", "assistant", "web", "edited")
DATA_SOURCE_KINDS = ("postgresql", "sandbox")
SESSION_KINDS = ("cookie", "tokens")
ROLES = ("user", "admin")
ACT_CREDENTIALS = ("session", "api_key", "command")
MAX_ACT_DETAILS = 2000
"""Characters of the details of an admin's act, as JSON."""
LINK_PURPOSES = ("verify_email", "reset_password", "invite")
MAIL_KINDS = (
    *LINK_PURPOSES, "password_changed", "password_reset", "email_changed", "second_factor_on", "second_factor_off",
    "identity_linked", "identity_removed",
)  # fmt: skip
OPERATION_KINDS = ("write", "undo", "delete_chats", "restore_chats", "tool_call")
OPERATION_STATUSES = ("proposed", "approved", "committed", "refused", "stale", "expired", "failed")
SHARED_FACTS = (
    "kind IN ('identity', 'health', 'preference', 'instruction') AND source IN ('user', 'edited')"
    " AND replaced_by IS NULL AND forgotten_at IS NULL"
)
"""What one chat may tell another: SQL over `memory_facts`."""


class Base(DeclarativeBase):
    """All tables. Constraints have predictable names, so that errors and migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this class attribute
        int: BigInteger,
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB(none_as_null=True),
    }


def _one_of(column: str, values: type[GenerationStatus] | type[MessageStatus] | tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class User(Base):
    """An account. E-mail addresses are unique without regard to case. `time_zone` is an IANA name; NULL where none was set.

    `credentials_version` is raised by each change of who may log in; a login that was checked before then begins no session.
    `shares_memory`: the user wants each chat to know what others taught (docs/memory.md). `email_verified_at`: when the
    user has shown to read mail at this address; NULL where nobody has. `role` is one of `user` and `admin`. `disabled_at`:
    since when an admin keeps the user out; NULL for who may log in. `daily_tokens`: the user's own quota, in tokens a day, 0 for
    none; NULL where the setting USER_DAILY_TOKENS holds. `password_hash` is NULL where the account has no password.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_email_lower", sql("lower(email)"), unique=True),
        CheckConstraint(_one_of("role", ROLES), name="role"),
        CheckConstraint("daily_tokens >= 0", name="daily_tokens"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str]
    password_hash: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    time_zone: Mapped[str | None]
    shares_memory: Mapped[bool] = mapped_column(server_default=sql("false"))
    credentials_version: Mapped[int] = mapped_column(server_default=sql("0"))
    email_verified_at: Mapped[datetime | None]
    role: Mapped[str] = mapped_column(server_default="user")
    disabled_at: Mapped[datetime | None]
    daily_tokens: Mapped[int | None]


class OidcIdentity(Base):
    """Who a user is at an OpenID provider: `subject` names the person there, for good, and only together with `issuer`."""

    __tablename__ = "oidc_identities"
    __table_args__ = (
        Index("uq_oidc_identities_issuer_subject", "issuer", "subject", unique=True),
        Index("ix_oidc_identities_user_id", "user_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    issuer: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Session(Base):
    """A client that is logged in: a browser by a cookie, or a program by tokens.

    `token_hash` is a SHA-256: of the cookie's value, or of the part of the refresh tokens that they all share. Neither is kept
    anywhere. `network` is the wide network from which the session was begun or last refreshed, NULL where that is not known.
    Whoever uses the session moves `last_used_at` and `expires_at`, but not at every request. `authenticated_at`: when
    the person has last proved the password, and the second factor where there is one.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("uq_sessions_token_hash", "token_hash", unique=True),
        Index("ix_sessions_user_id", "user_id"),
        Index("ix_sessions_expires_at", "expires_at"),
        CheckConstraint(_one_of("kind", SESSION_KINDS), name="kind"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    user_agent: Mapped[str | None]
    kind: Mapped[str] = mapped_column(server_default="cookie")
    network: Mapped[str | None]
    authenticated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RefreshToken(Base):
    """A refresh token of a session by tokens. `token_hash` is the SHA-256 of its rotating part.

    `used_at`: when the token was exchanged; NULL for the one that can be. `successor` is what it was exchanged for, sealed with
    a key that only the token itself gives: rows alone never give a token.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        Index("uq_refresh_tokens_token_hash", "token_hash", unique=True),
        Index("ix_refresh_tokens_session_id", "session_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes]
    successor: Mapped[bytes | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Base):
    """A credential of a program's. `key_hash` is the SHA-256 of the key, which is kept nowhere; `shown` is its beginning.

    `scopes` are words of services/api/auth/principal.py. Without `expires_at` the key does not expire. Whoever uses the
    key moves `last_used_at`, but not at every request.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_key_hash", "key_hash", unique=True),
        Index("ix_api_keys_user_id", "user_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    key_hash: Mapped[bytes]
    shown: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SecondFactor(Base):
    """A user's second factor: a secret for time-based codes (RFC 6238), encrypted (encryption.py).

    `confirmed_at`: since when a login asks for a code; NULL until the first code has shown that the person has the secret.
    `last_step`: the time step of the last code that was taken. No code of that step or of an earlier one is taken again.
    """

    __tablename__ = "second_factors"
    __table_args__ = (Index("uq_second_factors_user_id", "user_id", unique=True),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    totp_secret: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None]


class RecoveryCode(Base):
    """A code that stands in once for one of the second factor. `code_hash` is its SHA-256; a code that was used has no row."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("uq_recovery_codes_user_id_code_hash", "user_id", "code_hash", unique=True),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    code_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AccountInvite(Base):
    """A permission to make one account. An invite that was used has no row.

    `email` is the only address that the account may have; NULL for any. `created_by` is the admin who has made the invite; NULL
    where an operator's command did.
    """

    __tablename__ = "account_invites"
    __table_args__ = (
        Index("ix_account_invites_created_by", "created_by"),
        Index("ix_account_invites_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class AccountLink(Base):
    """A link that does something once: it verifies an address, sets a new password, or admits a new account.

    `token_hash` is the SHA-256 of the link's token, which is kept nowhere. A link belongs to a user, or to an invite.
    `mailed_to` is the address that the link was mailed to; NULL where it was shown instead. A link that was used has no row.
    """

    __tablename__ = "account_links"
    __table_args__ = (
        CheckConstraint(_one_of("purpose", LINK_PURPOSES), name="purpose"),
        CheckConstraint("(user_id IS NULL) <> (invite_id IS NULL)", name="owner"),
        Index("uq_account_links_token_hash", "token_hash", unique=True),
        Index("ix_account_links_user_id", "user_id"),
        Index("ix_account_links_invite_id", "invite_id"),
        Index("ix_account_links_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    token_hash: Mapped[bytes]
    purpose: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    invite_id: Mapped[int | None] = mapped_column(ForeignKey("account_invites.id", ondelete="CASCADE"))
    mailed_to: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class AccountMail(Base):
    """A mail that a worker has to send. A mail that was sent, or given up, has no row.

    `address` is where the mail goes. A `reset_password` has what a stranger has typed there, and no `user_id`: the worker looks
    for the account. `due_at`: from then on a worker may try; who tries moves it past the end of the try, so that nobody else
    does meanwhile. `attempt` is the number of the last try, which fences. `queued_at`: when the mail's job was last sent.
    """

    __tablename__ = "account_mails"
    __table_args__ = (
        CheckConstraint(_one_of("kind", MAIL_KINDS), name="kind"),
        Index("ix_account_mails_user_id", "user_id"),
        Index("ix_account_mails_invite_id", "invite_id"),
        Index("ix_account_mails_created_at", "created_at"),
        Index("ix_account_mails_due_at", "due_at"),
        Index("ix_account_mails_address_lower", sql("lower(address)")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    invite_id: Mapped[int | None] = mapped_column(ForeignKey("account_invites.id", ondelete="CASCADE"))
    address: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempt: Mapped[int] = mapped_column(server_default=sql("0"))


class Chat(Base):
    """A conversation. Positions are allocated by updating this row: `last_position` is the last one that any message got.

    The segments and the facts cover the positions up to `summary_position`, the watermark. Whoever changes them raises
    `memory_version`. The messages up to `indexed_position`, or up to the watermark where that is less, can be looked up.
    `summary_due_at`: from this time on, a worker may summarize more messages; NULL when there are none. Until
    `summary_claimed_until` somebody is at it; NULL when nobody is.
    `title_tries`: how often a title was asked for, or GIVEN_UP (shared/generations/title_tries.py). A chat that `is_temporary` is
    deleted a while after its last message. A chat that `is_hidden` was made for one answer, whose request brought its context
    along: no list, search, memory or feed has it, and it is deleted with the answer's log. It is temporary too, for processes
    of the release before.
    `has_rows`: a model was told rows of a user's database here, and answers and memory may quote them.
    `client_id`: the name that a client has given the chat, NULL where none did; a user has one chat of a name.
    `client_metadata` is what a client of OpenAI's has noted at the conversation; NULL where none did.
    `deleted_at`: since when the chat is in the trash, where nobody else sees it (ownership.py); NULL where it is not. A chat in
    the trash has no name of a client's: `trashed_client_id` keeps the name.

    `summary` and `facts` are what processes of the release before read and write. They go with the next release.
    """

    __tablename__ = "chats"
    __table_args__ = (
        Index("ix_chats_user_id_activity", "user_id", sql("last_message_at DESC"), sql("id DESC")),
        CheckConstraint("last_position >= 0", name="last_position"),
        CheckConstraint("summary_position BETWEEN 0 AND last_position", name="summary_position"),
        CheckConstraint(_one_of("title_by", ("message", "model", "user")), name="title_by"),
        Index("ix_chats_summary_due_at", "summary_due_at", postgresql_where=sql("summary_due_at IS NOT NULL")),
        # Empty, but for chats that an earlier release summarized.
        Index("ix_chats_not_indexed", "id", postgresql_where=sql("indexed_position < summary_position")),
        Index("ix_chats_temporary", "last_message_at", postgresql_where=sql("is_temporary")),
        Index("ix_chats_hidden", "last_message_at", postgresql_where=sql("is_hidden")),
        # The trash: of a user, the newest first; of all users, what has been there for longest.
        Index(
            "ix_chats_user_id_trash",
            "user_id",
            sql("deleted_at DESC"),
            sql("id DESC"),
            postgresql_where=sql("deleted_at IS NOT NULL"),
        ),
        Index("ix_chats_deleted_at", "deleted_at", postgresql_where=sql("deleted_at IS NOT NULL")),
        Index(
            "uq_chats_user_id_client_id",
            "user_id",
            "client_id",
            unique=True,
            postgresql_where=sql("client_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str | None]
    title_by: Mapped[str | None]
    summary: Mapped[str | None]
    summary_position: Mapped[int] = mapped_column(server_default=sql("0"))
    indexed_position: Mapped[int] = mapped_column(server_default=sql("0"))
    facts: Mapped[list[dict[str, Any]] | None]
    memory_version: Mapped[int] = mapped_column(server_default=sql("0"))
    summary_due_at: Mapped[datetime | None]
    summary_hinted_at: Mapped[datetime | None]
    summary_failures: Mapped[int] = mapped_column(server_default=sql("0"))
    summary_claimed_until: Mapped[datetime | None]
    title_tries: Mapped[int] = mapped_column(server_default=sql("0"))
    is_temporary: Mapped[bool] = mapped_column(server_default=sql("false"))
    last_position: Mapped[int] = mapped_column(server_default=sql("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_message_at: Mapped[datetime] = mapped_column(server_default=func.now())
    client_id: Mapped[str | None]
    has_rows: Mapped[bool] = mapped_column(server_default=sql("false"))
    deleted_at: Mapped[datetime | None]
    trashed_client_id: Mapped[str | None]
    is_hidden: Mapped[bool] = mapped_column(server_default=sql("false"))
    client_metadata: Mapped[dict[str, Any] | None]


class Message(Base):
    """One message. A reply exists, empty and pending, from the moment its question is accepted.

    A chat's messages are a tree. Those that are not `replaced` are the active path: each follows the one before it there,
    by position. A replaced message follows the one at `parent_position`, which is less; 0 where it is the chat's first.
    `parent_position` says nothing of a message on the active path, where it may be NULL.

    `parts` and `sources` are in a client's own shape (shared/protocol/message_parts.py). `usage` is a TokenUsage; rows of older
    releases have the stream's spelling.

    `client_id`: the name that a client has given the user's message, NULL where none did; a chat has one message of a name.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index("uq_messages_chat_id_position", "chat_id", "position", unique=True),
        Index(
            "uq_messages_chat_id_client_id",
            "chat_id",
            "client_id",
            unique=True,
            postgresql_where=sql("client_id IS NOT NULL"),
        ),
        # Empty, but for chats that have replaced messages.
        Index("ix_messages_replaced", "chat_id", postgresql_where=sql("replaced")),
        CheckConstraint(_one_of("role", ("user", "assistant")), name="role"),
        CheckConstraint(_one_of("status", MessageStatus), name="status"),
        CheckConstraint("position >= 1", name="position"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    role: Mapped[str]
    content: Mapped[str]
    position: Mapped[int]
    status: Mapped[str]
    parts: Mapped[list[dict[str, Any]] | None]
    sources: Mapped[list[dict[str, Any]] | None]
    usage: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    client_id: Mapped[str | None]
    replaced: Mapped[bool] = mapped_column(server_default=sql("false"))
    parent_position: Mapped[int | None]


class MessageTerms(Base):
    """The terms by which a message is looked up, hashed together with the chat (services/worker/look_up/postgres.py).

    `position` and `by_user` are the message's, which don't change. A message without terms has no row.
    """

    __tablename__ = "message_terms"
    __table_args__ = (
        Index("ix_message_terms_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    message_id: Mapped[int] = mapped_column(
        ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int]
    by_user: Mapped[bool]
    terms: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MemorySegment(Base):
    """What a model is told of the messages `first_position` to `last_position`, which are behind the watermark.

    The segments of a chat cover the positions from 1 to the watermark, each once. What replaced messages say, which have some
    of these positions, is in no segment. A text that the user wrote before there was anything to cover has the positions 0 to
    0. `tries`: how often a model was asked for better than an extract.
    """

    __tablename__ = "memory_segments"
    __table_args__ = (
        Index("uq_memory_segments_chat_id_first_position", "chat_id", "first_position", unique=True),
        CheckConstraint("first_position BETWEEN 0 AND last_position", name="positions"),
        CheckConstraint(_one_of("kind", SEGMENT_KINDS), name="kind"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    first_position: Mapped[int]
    last_position: Mapped[int]
    text: Mapped[str]
    kind: Mapped[str]
    tries: Mapped[int] = mapped_column(server_default=sql("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemoryFact(Base):
    """Something that was said in a chat, or that the user wrote into the memory (shared/memory/facts.py).

    Current is what is neither replaced nor forgotten. A forgotten fact stays as a tombstone: its value is told no more.
    `forgotten_position`: what was said up to there is forgotten. `chat_id` is NULL for what the user wrote for
    all chats; `message_id` and `position` are NULL for what no message said. A fact goes with its message.
    """

    __tablename__ = "memory_facts"
    __table_args__ = (
        Index("ix_memory_facts_chat_id", "chat_id"),
        Index("ix_memory_facts_message_id", "message_id"),
        Index("ix_memory_facts_replaced_by", "replaced_by"),
        Index("ix_memory_facts_user_id", "user_id"),
        # What chats share. Small: four kinds, and only what is told.
        Index("ix_memory_facts_shared", "user_id", postgresql_where=sql(SHARED_FACTS)),
        CheckConstraint(_one_of("kind", FACT_KINDS), name="kind"),
        CheckConstraint(_one_of("source", FACT_SOURCES), name="source"),
        CheckConstraint("position >= 1", name="position"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    chat_id: Mapped[int | None] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    position: Mapped[int | None]
    kind: Mapped[str]
    subject: Mapped[str] = mapped_column(server_default=sql("''"))
    attribute: Mapped[str] = mapped_column(server_default=sql("''"))
    value: Mapped[str] = mapped_column(server_default=sql("''"))
    text: Mapped[str]
    quote: Mapped[str] = mapped_column(server_default=sql("''"))
    source: Mapped[str]
    is_pinned: Mapped[bool] = mapped_column(server_default=sql("false"))
    said_at: Mapped[datetime] = mapped_column(server_default=func.now())
    replaced_by: Mapped[int | None] = mapped_column(ForeignKey("memory_facts.id", ondelete="SET NULL"))
    forgotten_at: Mapped[datetime | None]
    forgotten_by: Mapped[str | None]
    forgotten_position: Mapped[int | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ConversationItem(Base):
    """An item that a client of OpenAI's has added to a conversation, until a response takes it as the beginning of its input."""

    __tablename__ = "conversation_items"
    __table_args__ = (Index("ix_conversation_items_chat_id", "chat_id", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    item: Mapped[dict[str, Any]]


class Generation(Base):
    """The making of one reply. This row is the queue; a job in the broker only wakes a worker.

    `losses` counts the attempts that died. `slot` is a place among the user's open generations, of which there are only so
    many; NULL since it has awaited an approval.
    `final_sequence` is the sequence of the terminal frame, once the log has that frame. `log_length` is the sequence of the
    last frame that the log had when the generation began to await an approval, or when its log was made again; NULL where it
    never has. `queued_at` is when its job was sent last, and `in_queue_since` when it was queued last: its turn came, a
    decision was there, or its worker left; NULL where it was queued when it was accepted. `steps` are the tool calls so far,
    with their results. Nobody writes `cancel_requested_at` any more; the column goes with the next release.
    `traceparent` is the trace of the request that asked for the generation; empty where an earlier release accepted it.
    `time_zone` is the one that the message named; NULL where it named none.
    `views` are the newest views of the chat at the AI SDK's door that had the reply, the newest first: `viewer`, a hash of a
    credential, and `at`, in seconds since 1970. NULL where none had.
    `parameters` is what the request asked of the model (shared/generations/parameters.py); NULL for an ordinary message.
    `response` is what a request for a response said, to be told again: `asked`, and `input` where the user's message lacks
    some of it; `added` are the ids of its first items, which had waited in the conversation. NULL for messages of other doors.
    `parameters_attempt` is the attempt of a worker that knows parameters: one of the release before can't claim what has some.
    """

    __tablename__ = "generations"
    __table_args__ = (
        Index(
            "uq_generations_chat_id_live",
            "chat_id",
            unique=True,
            postgresql_where=sql("status IN ('queued', 'running', 'awaiting_approval')"),
        ),
        Index("ix_generations_chat_id_created_at", "chat_id", sql("created_at DESC")),
        Index(
            "uq_generations_user_id_slot",
            "user_id",
            "slot",
            unique=True,
            postgresql_where=sql("status IN ('waiting', 'queued', 'running')"),
        ),
        Index("ix_generations_waiting", "chat_id", "user_message_id", postgresql_where=sql("status = 'waiting'")),
        # The pages of earlier searches: few answers have any.
        Index("ix_generations_with_steps", "chat_id", "user_message_id", postgresql_where=sql("steps IS NOT NULL")),
        Index("ix_generations_queued", "queued_at", postgresql_where=sql("status = 'queued'")),
        Index("ix_generations_leases", "lease_expires_at", postgresql_where=sql("status = 'running'")),
        Index("ix_generations_awaiting_approval", "id", postgresql_where=sql("status = 'awaiting_approval'")),
        Index(
            "ix_generations_unclosed",
            "finished_at",
            postgresql_where=sql("finished_at IS NOT NULL AND closed_at IS NULL"),
        ),
        Index(
            "uq_generations_user_id_idempotency_key",
            "user_id",
            "idempotency_key",
            unique=True,
            postgresql_where=sql("idempotency_key IS NOT NULL"),
        ),
        Index("ix_generations_user_message_id", "user_message_id"),
        Index("ix_generations_assistant_message_id", "assistant_message_id"),
        CheckConstraint(_one_of("status", GenerationStatus), name="status"),
        CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
        CheckConstraint(
            "parameters IS NULL OR status <> 'running' OR coalesce(parameters_attempt = attempt, false)",
            name="parameters",
        ),
        CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    user_message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    assistant_message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    status: Mapped[str]
    slot: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(server_default=sql("0"))
    losses: Mapped[int] = mapped_column(server_default=sql("0"))
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]
    body_hash: Mapped[str | None]
    traceparent: Mapped[str | None]
    model: Mapped[str | None]
    steps: Mapped[list[dict[str, Any]] | None]
    usage: Mapped[dict[str, Any] | None]
    finish_reason: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    in_queue_since: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    first_token_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    final_sequence: Mapped[int | None]
    log_length: Mapped[int | None]
    time_zone: Mapped[str | None]
    views: Mapped[list[dict[str, Any]] | None]
    parameters: Mapped[dict[str, Any] | None]
    response: Mapped[dict[str, Any] | None]
    parameters_attempt: Mapped[int | None]


class ModelCall(Base):
    """What one model call took, and the purpose of the call. The row outlives its chat and its generation."""

    __tablename__ = "model_calls"
    __table_args__ = (
        CheckConstraint(_one_of("purpose", ("generation", "search", "summary", "title")), name="purpose"),
        Index("ix_model_calls_user_id_created_at", "user_id", "created_at", postgresql_include=["total_tokens"]),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    chat_id: Mapped[int | None]
    generation_id: Mapped[UUID | None]
    purpose: Mapped[str]
    model: Mapped[str]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    total_tokens: Mapped[int]
    is_estimate: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DataSource(Base):
    """A database of a user's. The URLs hold passwords and are encrypted (shared/data_sources/encryption.py).

    `writer_url` is NULL where nothing may be changed. `schema` is what the source had when it was last read
    (shared/data_sources/schema.py); `trusted_functions` are functions of its triggers that have no effect beyond the database.
    `status` is how the last try to connect ended: `ok`, or an error's code; NULL where nobody has tried.
    """

    __tablename__ = "data_sources"
    __table_args__ = (
        Index("uq_data_sources_user_id_name", "user_id", sql("lower(name)"), unique=True),
        Index("uq_data_sources_user_id_sandbox", "user_id", unique=True, postgresql_where=sql("kind = 'sandbox'")),
        CheckConstraint(_one_of("kind", DATA_SOURCE_KINDS), name="kind"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    kind: Mapped[str]
    reader_url: Mapped[bytes]
    writer_url: Mapped[bytes | None]
    trusted_functions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    status: Mapped[str | None]
    checked_at: Mapped[datetime | None]
    schema: Mapped[dict[str, Any] | None]
    schema_read_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Operation(Base):
    """A change that somebody proposed, with its preview, the decision and the effect (shared/operations).

    `preview` is what the person is shown; whoever approves names its `digest`. `before_images` is what an undo needs, encrypted.
    `xid` is the transaction on the data source that commits the operation, noted before it commits.
    `lease_expires_at`: until then, a worker commits the operation; `attempt` counts the workers that tried.
    `generation_id` and `call_id` name the tool call that proposed the operation; NULL where a person did. `chat_id` is NULL where
    the call was made in a hidden chat too.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_user_id_created_at", "user_id", sql("created_at DESC"), sql("id DESC")),
        Index(
            "uq_operations_generation_id_call_id",
            "generation_id",
            "call_id",
            unique=True,
            postgresql_where=sql("generation_id IS NOT NULL"),
        ),
        Index("ix_operations_data_source_id", "data_source_id"),
        Index("ix_operations_chat_id", "chat_id", postgresql_where=sql("chat_id IS NOT NULL")),
        Index("ix_operations_expires_at", "expires_at", postgresql_where=sql("status = 'proposed'")),
        Index("ix_operations_approved", "lease_expires_at", postgresql_where=sql("status = 'approved'")),
        # A change is undone once: an undo that came to nothing makes room for another.
        Index(
            "uq_operations_undo_of",
            "undo_of",
            unique=True,
            postgresql_where=sql("status IN ('proposed', 'approved', 'committed')"),
        ),
        # For the cascade, which the index above does not serve: it looks for undos of any status.
        Index("ix_operations_undo_of", "undo_of", postgresql_where=sql("undo_of IS NOT NULL")),
        CheckConstraint(_one_of("kind", OPERATION_KINDS), name="kind"),
        CheckConstraint(_one_of("status", OPERATION_STATUSES), name="status"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    data_source_id: Mapped[int | None] = mapped_column(ForeignKey("data_sources.id", ondelete="CASCADE"))
    chat_id: Mapped[int | None] = mapped_column(ForeignKey("chats.id", ondelete="SET NULL"))
    generation_id: Mapped[UUID | None] = mapped_column(ForeignKey("generations.id", ondelete="SET NULL"))
    call_id: Mapped[str | None]
    kind: Mapped[str]
    status: Mapped[str]
    summary: Mapped[str]
    statement: Mapped[str | None]
    preview: Mapped[dict[str, Any]]
    digest: Mapped[str]
    undo_of: Mapped[UUID | None] = mapped_column(ForeignKey("operations.id", ondelete="CASCADE"))
    before_images: Mapped[bytes | None]
    result: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(server_default=sql("0"))
    lease_expires_at: Mapped[datetime | None]
    xid: Mapped[str | None]
    decided_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Something that happened to a user's data sources or operations. Rows are only ever added, by a trigger's rule.

    The entries of a user are a chain: `number` counts from 1, and `hash` is the SHA-256 of the entry and of the hash before it
    (shared/operations/audit.py).
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("uq_audit_log_user_id_number", "user_id", "number", unique=True),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    number: Mapped[int]
    at: Mapped[datetime]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
    hash: Mapped[bytes]


class AdminAct(Base):
    """Something that an admin, or an operator by a command, has done to an account. Rows are only added, by a trigger's rule.

    `actor_id` and `subject_id` are ids of users, who may be gone: an act outlives both, and so has no e-mail address. `actor_id`
    is NULL for a command. `credential` is what proved who acts, and `credential_id` that session's or API key's id. `act` is a
    word of shared/admin_acts.py.
    """

    __tablename__ = "admin_acts"
    __table_args__ = (
        Index("ix_admin_acts_subject_id", "subject_id", "id"),
        Index("ix_admin_acts_actor_id", "actor_id", "id"),
        CheckConstraint(_one_of("credential", ACT_CREDENTIALS), name="credential"),
        CheckConstraint("(actor_id IS NULL) = (credential = 'command')", name="actor"),
        CheckConstraint(f"length(details::text) <= {MAX_ACT_DETAILS}", name="details"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_id: Mapped[int | None]
    credential: Mapped[str]
    credential_id: Mapped[int | None]
    act: Mapped[str]
    subject_id: Mapped[int | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
