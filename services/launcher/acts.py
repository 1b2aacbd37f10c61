"""What operators do to accounts by commands, in the table of admins' acts."""

from typing import Final

import psycopg
from psycopg.types.json import Jsonb

from shared.admin_acts import Act

_NOTE: Final = "INSERT INTO admin_acts (credential, act, subject_id, details) VALUES ('command', %s, %s, %s)"


def note(connection: psycopg.Connection, act: Act, subject_id: int, **details: int | bool | str | None) -> None:
    """Note an act on a user, in the connection's transaction. `details` are as those of `shared.admin_acts.record`."""
    connection.execute(_NOTE, [act, subject_id, Jsonb(details)])
