"""The syntax wall: `check_query` and `check_write` let statements through, or say why not."""

from shared.data_sources.statements.check import check_query, check_write
from shared.data_sources.statements.checked import Query, Write, WriteKind

__all__ = ["Query", "Write", "WriteKind", "check_query", "check_write"]
