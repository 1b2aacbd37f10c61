"""The limits of one message that need no look at the database. The other ones are in `queries.py`."""

from services.api.limits import Limits
from shared.errors import ContentTooLong, ModelNotOffered


def check_message(content: str, model: str | None, limits: Limits) -> None:
    """Refuse a message that is too long, or that asks for a model that is not offered.

    Raises:
        ContentTooLong: the message has more characters than allowed.
        ModelNotOffered: the model is not on offer.

    """
    if len(content) > limits.message_chars:
        raise ContentTooLong(limits.message_chars)
    if model is not None and model not in limits.offered_models:
        raise ModelNotOffered(limits.offered_models)
