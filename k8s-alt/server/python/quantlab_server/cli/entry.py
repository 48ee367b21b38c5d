"""Where the `quantlab` command begins: a process pays for the command it is asked for only."""

import gc
import sys

from quantlab_server.cli.quick import asked_of
from quantlab_server.refusal import Refusal

INTERRUPTED = 130


def main() -> None:
    """Carry out a command line."""
    asked = asked_of(sys.argv[1:])
    if asked is None:
        from quantlab_server.cli.main import app

        app()
        return
    gc.disable()  # nothing a process of a second makes has to be collected
    from quantlab_server.backtests.single import Asked, carry_out

    try:
        carry_out(Asked(**asked))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
