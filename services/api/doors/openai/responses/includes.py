"""What a query asks to be included in a response, or in items of one."""

from fastapi import Depends, Request

from services.api.dependencies import CurrentPrincipal
from services.api.doors.openai.responses.schemas import insist_on_includable


def _check(request: Request, principal: CurrentPrincipal) -> None:
    """Refuse what can't be included. OpenAI's packages write a list as `include[]=a&include[]=b`.

    Raises:
        ParameterNotSupported: a name is not known here; the error names its place.

    """
    del principal  # who is nobody is told that first
    insist_on_includable(name for key, name in request.query_params.multi_items() if key in {"include", "include[]"})


INCLUDES = Depends(_check)
