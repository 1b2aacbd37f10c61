"""What both of OpenAI's doors read alike: the client's tools, the choice of one, the form of the answer, and calls."""

import json
from collections.abc import Collection
from typing import Final

from fastapi.exceptions import RequestValidationError

from shared.generations.parameters import ClientTool, Json, ResponseFormat, ToolChoice

CHOICES: Final[dict[str, ToolChoice]] = {"none": "none", "auto": "auto", "required": "required"}
Place = tuple[str | int, ...]
"""Where in a body something stands."""


def invalid(at: Place, message: str) -> RequestValidationError:
    """The refusal of what stands there."""
    return RequestValidationError([{"type": "value_error", "loc": ("body", *at), "msg": message}])


def client_tool(name: str, description: str | None, parameters: Json | None, *, strict: bool | None) -> ClientTool:
    """A tool of the client's. `parameters` is the schema of its arguments; None where it takes none.

    Raises:
        ValidationError: something is out of its bounds.

    """
    schema = parameters or {"type": "object", "properties": {}}
    return ClientTool(name=name, description=description or "", parameters=schema, strict=strict)


def read_choice(choice: str, tools: Collection[str]) -> ToolChoice | None:
    """Whether one of these tools, given by their names, is called. Without tools, only that none is called can be said.

    Raises:
        RequestValidationError: a call is required, and there is no tool.

    """
    if not tools and choice == "required":
        raise invalid(("tool_choice",), "must not be required where there are no tools")
    return CHOICES[choice] if tools else None


def read_penalty(penalty: float | None) -> float | None:
    """A penalty; None for zero, which asks for nothing. Clients as LibreChat send zeros."""
    return penalty or None


def insist_on_schema(form: ResponseFormat, at: Place) -> ResponseFormat:
    """A form of the answer's text, which has a schema where it needs one. `at` is the place that has to have the schema.

    Raises:
        RequestValidationError: there is no schema.

    """
    if form.type == "json_schema" and form.json_schema is None:
        raise invalid(at, "must be there, with a schema")
    return form


def insist_on_object(arguments: str, at: Place) -> None:
    """Refuse arguments of a call that are no JSON object: the model would be told that there were none. "" is none.

    Raises:
        RequestValidationError: this is so.

    """
    try:
        is_object = not arguments.strip() or isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise invalid(at, "must be the text of a JSON object")
