"""Where the `quantlab` command begins: a process pays for the command it is asked for only."""

import gc
import os
import sys
from collections.abc import Callable
from functools import partial

from quantlab_server.cli.quick import asked_of, role_of
from quantlab_server.refusal import Refusal

INTERRUPTED = 130


def main() -> None:
    """Carry out a command line."""
    # Pydantic would read the names of all that is installed, for plugins that there are not.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    work = _quick(sys.argv[1:])
    if work is None:
        from quantlab_server.cli.main import app

        app()
        return
    try:
        work()
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _quick(arguments: list[str]) -> Callable[[], None] | None:
    """Prepare what is started often; None for what typer has to read."""
    if (role := role_of(arguments)) is not None:
        # structlog imports rich where there is one, for tracebacks that logs do not show.
        sys.modules["rich"] = None  # type: ignore[assignment]
        from quantlab_server.role_start import begin

        return partial(begin, *role)
    if (asked := asked_of(arguments)) is not None:
        gc.disable()  # nothing a process of a second makes has to be collected
        from quantlab_server.backtests.single import Asked, carry_out

        return partial(carry_out, Asked(**asked))
    return None
