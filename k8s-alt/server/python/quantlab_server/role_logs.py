"""The log lines of a role: structlog as the edge sets it up, and those of libraries through it."""

import asyncio
import atexit
import contextlib
import io
import logging
import sys
from typing import Final, TextIO, cast

import structlog

from quantlab_edge.observe import configure_logging
from quantlab_edge.settings import PlatformSettings

MOMENT_S: Final = 0.05
TALKATIVE = ("apscheduler", "botocore", "websockets", "uvicorn.access")


class GatheringStream(io.TextIOBase):
    """Gather the lines of a moment into one write: a write a line is dear to a busy server.

    Without a running event loop, and at the end of the process, lines are written at once.
    """

    def __init__(self, stream: TextIO, moment_s: float = MOMENT_S) -> None:
        self._stream = stream
        self._moment_s = moment_s
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.release)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.release()
        else:
            self._timer = loop.call_later(self._moment_s, self.release)

    def release(self) -> None:
        """Write what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = "".join(self._lines)
        self._lines.clear()
        # Nobody reads any more where the supervisor is gone; to say so would be another such line.
        with contextlib.suppress(BrokenPipeError):
            if text:
                self._stream.write(text)
                self._stream.flush()


class _IntoStructlog(logging.Handler):
    """Hand a line of a library's logger to structlog, which alone decides how lines look."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def configure_logs(settings: PlatformSettings) -> None:
    """Make every line of this process one line of the same kind on its standard output."""
    configure_logging(
        json_lines=settings.log_json,
        level=settings.log_level,
        stream=cast(TextIO, GatheringStream(sys.stdout)),
    )
    root = logging.getLogger()
    root.handlers[:] = [_IntoStructlog()]
    root.setLevel(settings.log_level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
