"""Logs of a process, on stderr. Set up by the commands `serve`, `demo`, `kong` and those below it; nothing else
configures them.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog


def set_up_logs(style: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Send our log lines and those of libraries to `stream`: readable on a terminal, else one JSON object a line."""
    console = style == "console" or (style == "auto" and stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    if console:
        last = [_printable, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level.upper())), force=True)


def set_up_notes(stream: TextIO) -> None:
    """For a command that does one thing and ends: our warnings, readable, on `stream`; stdout stays one document."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, _printable, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A node's name or a NACK's text comes from outside: it must not steer the operator's terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name != "exception":
            event[name] = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in value)
    return event
