"""The log lines of a role: structlog as the edge sets it up, and those of libraries through it."""

import logging
import sys

import structlog

from quantlab_edge.observe import configure_logging
from quantlab_edge.settings import Settings

TALKATIVE = ("apscheduler", "websockets", "uvicorn.access")


class _IntoStructlog(logging.Handler):
    """Hand a line of a library's logger to structlog, which alone decides how lines look."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def configure_logs(settings: Settings) -> None:
    """Make every line of this process one line of the same kind on its standard output."""
    configure_logging(json_lines=settings.log_json, level=settings.log_level, stream=sys.stdout)
    root = logging.getLogger()
    root.handlers[:] = [_IntoStructlog()]
    root.setLevel(settings.log_level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
