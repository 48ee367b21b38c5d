"""What a Lambda says of itself: one JSON line a call, and numbers in the embedded metric format."""

import io
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

import orjson
import structlog
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from quantlab_edge.settings_aws import AwsSettings

NAMESPACE: Final = "QuantLab"
SERVICE: Final = "quantlab"
FAILED: Final = "failed"
DONE: Final = "done"


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
    """Write the line and the numbers of each call."""

    def __init__(self, settings: AwsSettings) -> None:
        self._function = settings.function
        self._cold = True
        self._log = structlog.get_logger("quantlab.calls", service=SERVICE)
        self._metrics = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
        self._metrics.set_default_dimensions(function=settings.function, stage=settings.stage)
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
        line = {
            **call.fields,
            "outcome": call.outcome,
            "duration_ms": round(duration_ms, 2),
            "cold_start": self._cold,
        }
        self._log.info("call", **line)
        metrics = self._metrics
        metrics.add_metric("calls", MetricUnit.Count, 1)
        metrics.add_metric("errors", MetricUnit.Count, int(call.outcome == FAILED))
        metrics.add_metric("duration", MetricUnit.Milliseconds, duration_ms)
        metrics.flush_metrics()
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
