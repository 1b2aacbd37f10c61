"""The limits of one message that need no look at the database. The other ones are in `queries.py`."""

from services.api.limits import Limits
from shared.errors import ContentTooLong, ModelNotOffered, ParameterNotSupported
from shared.generations.parameters import Parameters
from shared.model_families import family_of


def check_parameters(parameters: Parameters, model: str | None, limits: Limits) -> None:
    """Refuse what the model can't do that is asked for. `model` is one that is offered; None for the default.

    Raises:
        ParameterNotSupported: the model does not know this parameter, or not this value of it.

    """
    family = family_of(model or limits.offered_models[0])
    if parameters.uses_tools and not (family.tools and limits.model_tools):
        raise ParameterNotSupported("tools", "this model can't call tools")
    if parameters.reasoning_effort is not None and parameters.reasoning_effort not in family.efforts:
        known = f"must be one of {', '.join(family.efforts)}" if family.efforts else "this model knows no efforts"
        raise ParameterNotSupported("reasoning_effort", known)
    asked = parameters.response_format
    if asked is not None and asked.type != "text" and not family.structured:
        raise ParameterNotSupported("response_format", "this model can't be held to JSON")


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
