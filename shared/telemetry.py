"""Structured logs. An event has a constant name and fields; never message text, tokens, passwords or keys."""

import logging
import sys
from typing import Any, Final, Literal

# structlog imports rich, if it is there, to colour tracebacks on a console: 13 MB in every process, for nothing here.
_absent = sys.modules.setdefault("rich", None) is None  # type: ignore[arg-type]
import structlog  # noqa: E402

if _absent:
    del sys.modules["rich"]

# Their info lines are noise or, with query strings and URLs, could carry a secret.
QUIET: Final = (
    "httpx",
    "httpcore",
    "groq",
    "uvicorn.access",
    "urllib3",
    "kombu",
    "celery.app.trace",
    "celery.worker.strategy",
)


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
        structlog.processors.format_exc_info,
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


def _add(service: str) -> structlog.types.Processor:
    def add(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:  # noqa: ANN401
        event["service"] = service
        return event

    return add


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that carries its module's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
