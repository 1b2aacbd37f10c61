"""Typed identifiers: the type checker keeps a chat's id out of a message's place."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

UserId = NewType("UserId", int)
ChatId = NewType("ChatId", int)
MessageId = NewType("MessageId", int)
GenerationId = NewType("GenerationId", UUID)
DataSourceId = NewType("DataSourceId", int)
OperationId = NewType("OperationId", UUID)

MAX_BIGINT = 2**63 - 1


def new_generation_id() -> GenerationId:
    """A time-ordered id (UUID version 7, RFC 9562), so that new rows land at the end of their index."""
    return GenerationId(uuid7())


def new_operation_id() -> OperationId:
    """A time-ordered id, as `new_generation_id` makes one."""
    return OperationId(uuid7())
