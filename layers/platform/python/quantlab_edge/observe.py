"""Numbers and log lines of a process: Prometheus metrics and structlog's set-up.

Every process has its own registry. A role that serves no HTTP leaves its numbers in Redis every
few seconds (`board_loop`); the server's /metrics shows its own and those of all others, each
with its role and instance, and an entry that nobody renews disappears.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.metrics import MetricsBoard
from quantlab_app.use_cases.waiting import wait_at_most

BOARD_EVERY_S: Final = 5.0
REGISTRY: Final = CollectorRegistry()
_SECONDS: Final = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)

http_requests = Counter(
    "quantlab_http_requests", "HTTP requests answered.", ("route", "method", "status"),
    registry=REGISTRY,
)  # fmt: skip
http_seconds = Histogram(
    "quantlab_http_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=REGISTRY
)
signals = Counter("quantlab_signals", "Ends of signal attempts.", ("end",), registry=REGISTRY)
logins = Counter("quantlab_logins", "Sign-in attempts.", ("result",), registry=REGISTRY)
commands = Counter(
    "quantlab_commands", "Commands executed from the inbox.", ("command", "outcome"),
    registry=REGISTRY,
)  # fmt: skip
command_seconds = Histogram(
    "quantlab_command_seconds", "From acceptance to the commit that carries a command out.",
    buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
function_runs = Counter(
    "quantlab_function_runs", "Runs of functions.", ("kind", "name", "result"), registry=REGISTRY
)
quotes = Counter("quantlab_quotes", "Quotes judged.", ("symbol", "verdict"), registry=REGISTRY)
sockets_open = Gauge("quantlab_sockets_open", "Open sockets.", registry=REGISTRY)
socket_messages = Counter(
    "quantlab_socket_messages", "Messages to sockets.", ("kind",), registry=REGISTRY
)
detection_seconds = Histogram(
    "quantlab_detection_seconds", "From a tick to the accepted command it calls for.",
    ("command",), buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
watched_accounts = Gauge("quantlab_watched_accounts", "Accounts under watch.", registry=REGISTRY)
watched_positions = Gauge("quantlab_watched_positions", "Positions under watch.", registry=REGISTRY)
strategy_runs = Gauge("quantlab_strategy_runs", "Live strategies under way.", registry=REGISTRY)
webhook_attempts = Counter(
    "quantlab_webhook_attempts", "Attempts to deliver outbound webhooks.", registry=REGISTRY
)
audit_entries = Counter("quantlab_audit_entries", "Audit entries appended.", registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One process's numbers as exposition text."""

    role: str
    instance: str
    text: str


def own_text() -> str:
    """Return this process's numbers."""
    return generate_latest(REGISTRY).decode()


async def board_loop(board: MetricsBoard, role: str, instance: str, stop: asyncio.Event) -> None:
    """Leave this process's numbers on the board until told to stop."""
    while not stop.is_set():
        try:
            await board.put(role, instance, own_text())
        except StoreUnavailable as error:
            structlog.get_logger("quantlab.observe").warning("metrics not left", cause=str(error))
        await wait_at_most(stop, BOARD_EVERY_S)


class _Merged:
    """Families of many processes, joined by name, each sample with its role and instance."""

    def __init__(self, entries: Sequence[BoardEntry]) -> None:
        self._entries = entries

    def collect(self) -> list[Metric]:
        families: dict[str, Metric] = {}
        for entry in self._entries:
            origin = {"role": entry.role, "instance": entry.instance}
            for family in text_string_to_metric_families(entry.text):
                kept = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                kept.samples.extend(
                    Sample(s.name, {**s.labels, **origin}, s.value) for s in family.samples
                )
        return list(families.values())


def exposition(entries: Sequence[BoardEntry]) -> bytes:
    """Return the numbers of several processes as one exposition."""
    registry = CollectorRegistry()
    registry.register(_Merged(entries))
    return generate_latest(registry)


def configure_logging(*, json_lines: bool, level: str, stream: TextIO) -> None:
    """Make every log line of the process one JSON object, or readable text."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
