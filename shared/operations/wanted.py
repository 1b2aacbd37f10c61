"""Which proposals a person can still decide."""

from typing import Final

from sqlalchemy import ColumnElement, and_, exists, func, or_

from shared.database.tables import Generation, Operation
from shared.states import OPEN

PENDING: Final[ColumnElement[bool]] = and_(Operation.status == "proposed", Operation.expires_at > func.now())
"""Whether nobody has decided yet, and the proposal has not expired. The sweep ends an expired one a little later."""
IS_WANTED: Final[ColumnElement[bool]] = or_(
    Operation.call_id.is_(None),
    exists().where(Generation.id == Operation.generation_id, Generation.status.in_(OPEN)),
)
"""Whether somebody still waits for the decision: a person, or an answer that is not over."""
AWAITS_PERSON: Final[ColumnElement[bool]] = and_(PENDING, IS_WANTED)
"""Whether a person is asked."""
