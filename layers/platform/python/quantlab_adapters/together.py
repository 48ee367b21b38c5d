"""What is asked for at the same moment is done by one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from quantlab_app.ports.errors import Fault

Item = TypeVar("Item")
Faults = Sequence[Fault | None]


class Together(Generic[Item]):
    """Hands on at once what one turn of the event loop brings.

    An asker gets the fault of its own item; what is raised fails all that were handed on together.
    """

    def __init__(self, do: Callable[[Sequence[Item]], Awaitable[Faults]]) -> None:
        self._do = do
        self._waiting: list[Item] = []
        self._begun: set[asyncio.Task[Faults]] = set()

    async def do(self, item: Item) -> None:
        """Have the item done with those that come along."""
        if not self._waiting:
            self._doing = asyncio.create_task(self._do_waiting())
            self._begun.add(self._doing)
            self._doing.add_done_callback(self._begun.discard)
        doing, place = self._doing, len(self._waiting)
        self._waiting.append(item)
        fault = (await asyncio.shield(doing))[place]
        if fault is not None:
            raise fault

    async def finish(self, at_most_s: float) -> None:
        """Wait for what has been begun, though nobody may ask for its end; then cancel it."""
        if self._begun:
            _, late = await asyncio.wait(self._begun, timeout=at_most_s)
            for task in late:
                task.cancel()

    async def _do_waiting(self) -> Faults:
        items, self._waiting = self._waiting, []
        return await self._do(items)
