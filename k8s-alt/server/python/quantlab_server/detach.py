"""A group in the background: how it tells the command that started it what it does and how it ends.

Every line of the pipe is one JSON object: {"progress"}, then {"ready"} or {"refusal"}.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal

REPORT_FD: Final = "QUANTLAB_REPORT_FD"
ENDED_WAIT_S: Final = 130.0


class Report:
    """The supervisor's end; a group in the foreground has none."""

    def __init__(self, pipe: IO[str] | None) -> None:
        self._pipe = pipe

    @classmethod
    def asked_for(cls) -> "Report":
        """Take the pipe out of the environment, so that no child is given it."""
        number = os.environ.pop(REPORT_FD, None)
        return cls(None if number is None else os.fdopen(int(number), "w", encoding="utf-8"))

    @property
    def wanted(self) -> bool:
        return self._pipe is not None

    def progress(self, text: str) -> None:
        """Tell what happens now; Refusal when nobody waits for the group any more."""
        try:
            self._write({"progress": text})
        except BrokenPipeError as error:
            raise Refusal("the command that asked for the group has gone.") from error

    def ready(self, facts: dict[str, Any]) -> None:
        self._end({"ready": facts})

    def refusal(self, text: str) -> None:
        self._end({"refusal": text})

    def _end(self, value: dict[str, Any]) -> None:
        # When nobody reads it any more, the group's own log still says the same.
        with contextlib.suppress(BrokenPipeError):
            self._write(value)
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                self._pipe.close()
            self._pipe = None

    def _write(self, value: dict[str, Any]) -> None:
        if self._pipe is not None:
            self._pipe.write(json.dumps(value, default=str) + "\n")
            self._pipe.flush()


def start_detached(
    arguments: tuple[str, ...], state: Path, show: Callable[[str], None]
) -> dict[str, Any]:
    """Start a supervisor in a session of its own; return the facts it reports once it is ready.

    Refusal when it refuses or ends before. Ctrl-C ends what was started.
    """
    logs = private_folder(private_folder(state) / "logs")
    read, write = os.pipe()
    with (logs / "detached.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            (sys.executable, "-m", "quantlab_server", *arguments),
            env={**os.environ, REPORT_FD: str(write)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
        )
    os.close(write)
    report: dict[str, Any] = {}
    try:
        with os.fdopen(read, encoding="utf-8") as pipe:
            for line in pipe:
                report = json.loads(line)
                if "progress" in report:
                    show(report["progress"])
    except BaseException:
        process.terminate()
        process.wait(ENDED_WAIT_S)
        raise
    if "ready" in report:
        facts: dict[str, Any] = report["ready"]
        return facts
    process.wait(ENDED_WAIT_S)
    raise Refusal(
        str(report["refusal"])
        if "refusal" in report
        else f"the group ended before it was ready; see {logs / 'detached.log'}."
    )
