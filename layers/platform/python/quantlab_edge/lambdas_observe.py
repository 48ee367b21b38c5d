"""What a Lambda says of itself: one JSON line a call, its numbers in it for CloudWatch to count.

How they are told is CloudWatch's embedded metric format, read from any line with `_aws` in it.
"""

import io
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO, cast

import orjson
import structlog
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from quantlab_edge.settings_aws import AwsSettings

NAMESPACE: Final = "QuantLab"
SERVICE: Final = "quantlab"
FAILED: Final = "failed"
DONE: Final = "done"
METRICS: Final = {
    "Namespace": NAMESPACE,
    "Dimensions": [["function", "stage", "service"]],
    "Metrics": [
        {"Name": "calls", "Unit": "Count"},
        {"Name": "errors", "Unit": "Count"},
        {"Name": "duration", "Unit": "Milliseconds"},
    ],
}


class Output(io.TextIOBase):
    """The process's output as it is when a line is written: a runtime may put another in place."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def _output() -> TextIO:
    return cast(TextIO, Output())


class Call:
    """What is known of one call, for its line."""

    def __init__(self, correlation_id: str) -> None:
        self.outcome = DONE
        self.fields: dict[str, Any] = {"correlation_id": correlation_id}

    def note(self, _event: str, **fields: Any) -> None:
        """Add to the line."""
        self.fields.update(fields)

    def fail(self, **fields: Any) -> None:
        """Say that the call did not do what it should, though it answered."""
        self.outcome = FAILED
        self.fields.update(fields)


class Calls:
    """Write the line of each call, whatever the level: its numbers are counted from it."""

    def __init__(self, settings: AwsSettings) -> None:
        self._function = settings.function
        self._stage = settings.stage
        self._cold = True
        self._log = structlog.get_logger("quantlab.calls")
        _configure_lines(settings)

    @contextmanager
    def one(self, context: Any) -> Iterator[Call]:
        """Watch one call; what it raises is written down and goes on."""
        request_id = str(getattr(context, "aws_request_id", ""))
        structlog.contextvars.bind_contextvars(function=self._function, request_id=request_id)
        call, started = Call(request_id), time.perf_counter()
        try:
            yield call
        except BaseException as error:
            call.fail(exception=type(error).__name__)
            self._log.exception("the call failed")
            raise
        finally:
            self._write(call, (time.perf_counter() - started) * 1000)
            structlog.contextvars.clear_contextvars()

    def _write(self, call: Call, duration_ms: float) -> None:
        now = datetime.now(UTC)  # noqa: TID251 - a line's own time, as structlog stamps the others
        line = {
            **call.fields,
            **structlog.contextvars.get_contextvars(),
            "message": "call",
            "level": "info",
            "timestamp": now,
            "outcome": call.outcome,
            "cold_start": self._cold,
            "function": self._function,
            "stage": self._stage,
            "service": SERVICE,
            "calls": 1,
            "errors": int(call.outcome == FAILED),
            "duration": round(duration_ms, 2),
            "_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [METRICS]},
        }
        sys.stdout.write(f"{_json(line)}\n")
        self._cold = False


def _json(line: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(line, default=str).decode()


def _configure_lines(settings: AwsSettings) -> None:
    """Make our own lines, and those of libraries, JSON objects beside those of the calls."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_output()),
    )
    handler = logging.StreamHandler(_output())
    handler.setFormatter(LambdaPowertoolsFormatter(service=SERVICE, utc=True, use_rfc3339=True))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Mangum's lines of requests hold addresses with tokens in them.
    root.setLevel(max(level, logging.WARNING))
