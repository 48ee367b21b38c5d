"""How the small programs of a local cloud's start end: in silence, or with one sentence."""

from collections.abc import Callable

from quantlab_app.ports.errors import Fault
from quantlab_server.refusal import Refusal


def ended(program: Callable[[], None]) -> str | None:
    """Run a program to its end; return what sys.exit should say."""
    try:
        program()
    except (Refusal, Fault) as error:
        return f"{type(error).__name__}: {error}"
    return None
