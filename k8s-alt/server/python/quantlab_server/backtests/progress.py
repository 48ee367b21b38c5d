"""A bar on standard error while much is run; none where it is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Moved = Callable[[int, int], None]


@contextmanager
def bar(what: str) -> Iterator[Moved]:
    """Show a bar, and return what moves it: so many done, of so many."""
    console = Console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    with shown:
        task = shown.add_task(what, total=None)

        def moved(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield moved
