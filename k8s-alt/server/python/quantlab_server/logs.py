"""Where the lines of child processes go: one rotated file each, and the console with their names.

Holds no structured logging of the roles themselves: that is quantlab_edge.observe.
"""

import threading
from pathlib import Path
from typing import IO, Final, TextIO

FILES_KEPT: Final = 5
FILE_BYTES_MAX: Final = 50_000_000
NAME_WIDTH: Final = 22
COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


def rotate(path: Path) -> None:
    """Make room for a new log file, keeping the last few."""
    if not path.exists() or path.stat().st_size == 0:
        return
    for number in range(FILES_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def tail(path: Path, lines: int) -> list[str]:
    """Read the last lines of a log file, or nothing when there is none."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


class Console:
    """Write whole lines of several children to one stream, each behind its name."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._colour = stream.isatty()
        self._lock = threading.Lock()
        self._names: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        with self._lock:
            if self._stream is None:
                return
            try:
                self._stream.write(f"{self._prefix(name)} {text}\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None  # the reader has gone; the files still get every line

    def _prefix(self, name: str) -> str:
        padded = f"{name:<{NAME_WIDTH}}"
        if not self._colour:
            return f"{padded}|"
        colour = COLOURS[self._names.setdefault(name, len(self._names)) % len(COLOURS)]
        return f"\x1b[{colour}m{padded}|\x1b[0m"


class Output:
    """Carry the lines of children into STATE/logs and, when there is one, to the console."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._console = console
        self._started: set[str] = set()

    def path(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '.').replace('$', '')}.log"

    def say(self, name: str, text: str) -> None:
        """Write a line of the supervisor itself."""
        with self.path(name).open("ab") as file:
            file.write(f"{text}\n".encode())
        if self._console is not None:
            self._console.line(name, text)

    def carry(self, name: str, stream: IO[bytes]) -> threading.Thread:
        """Start carrying a child's lines until it closes its end."""
        if name not in self._started:
            self._started.add(name)
            rotate(self.path(name))
        thread = threading.Thread(
            target=self._carry, args=(name, stream), name=f"log-{name}", daemon=True
        )
        thread.start()
        return thread

    def _carry(self, name: str, stream: IO[bytes]) -> None:
        path = self.path(name)
        file = path.open("ab")
        try:
            for raw in stream:
                if file.tell() > FILE_BYTES_MAX:
                    file.close()
                    rotate(path)
                    file = path.open("ab")
                file.write(raw)
                file.flush()
                if self._console is not None:
                    self._console.line(name, raw.decode(errors="replace").rstrip("\n"))
        finally:
            file.close()
            stream.close()
