"""The ports of one process, by name; function manifests list the names they use."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quantlab_app.ports.clock import Clock, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything a use case may reach."""

    clock: Clock
    ids: Ids
    close: Callable[[], Awaitable[None]]
