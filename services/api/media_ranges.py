"""What a client takes: the media ranges of its `Accept`. Source: RFC 9110 §12.5.1."""

from starlette.datastructures import Headers


def accepted(headers: Headers) -> dict[str, float]:
    """The media ranges, in lower case, each with its weight. A weight that is no number counts as 1."""
    return dict(_range(item) for item in ",".join(headers.getlist("accept")).split(","))


def _range(item: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return kind, 1.0
