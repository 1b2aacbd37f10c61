"""Structured logs. An event has a constant name and fields; never message text, tokens, passwords or keys."""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final, Literal

# structlog imports rich, if it is there, to colour tracebacks on a console: 13 MB in every process, for nothing here.
_absent = sys.modules.setdefault("rich", None) is None  # type: ignore[arg-type]
import structlog  # noqa: E402

if _absent:
    del sys.modules["rich"]
# So does httpx, for its own command line, in the workers. Every process has its logs before it has a client.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# Their lines below a warning are noise, or could carry a secret (query strings, URLs) or a user's text (an answer's chunks).
QUIET: Final = (
    "aiosmtplib",
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "groq",
    "sse_starlette",
    "uvicorn.access",
    "urllib3",
    "kombu",
    "celery.app.trace",
    "celery.worker.strategy",
)


QUOTING: Final = ("sqlalchemy", "psycopg", "pydantic", "pydantic_core", "fastapi")
"""Whose errors may quote what was to be stored, or what was sent: of those a log has the name and the place only."""


def configure_logging(*, service: str, level: str, log_format: Literal["json", "console"]) -> None:
    """Send structlog's and the standard library's logs to standard error, one line an event.

    Every line has `timestamp` (ISO 8601, UTC), `level`, `event`, `service` and the bound context variables.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add(service),
        structlog.processors.ExceptionRenderer(_traceback),
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),  # what is below it costs nothing
        cache_logger_on_first_use=True,
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """An error with its causes, the first one first, as Python writes it but for the words that may quote somebody."""
    return "".join(_lines(exc_info[1], set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))  # an error may be its own cause
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield "\nthen:\n"
    yield from traceback.format_tb(error.__traceback__)
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    yield f"{name}\n" if name.partition(".")[0] in QUOTING else f"{name}: {error}\n"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield "\nwith:\n"
            yield from _lines(inner, seen)


def _add(service: str) -> structlog.types.Processor:
    def add(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:  # noqa: ANN401
        event["service"] = service
        return event

    return add


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that carries its module's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def with_bound_fields(logger: structlog.typing.FilteringBoundLogger) -> structlog.typing.FilteringBoundLogger:
    """The logger with the fields that are bound now, for lines that another task writes about the same thing."""
    return logger.bind(**structlog.contextvars.get_contextvars())
