"""The compiled engine for a child that is about to close its walls."""

import os
from pathlib import Path

from quantlab_edge import backtest as machine


def engine_apart(folder: Path) -> machine.EngineFiles:
    """Return the engine; where it has to be compiled, a process of its own does.

    So its time and its memory are not counted among those that a strategy may take.
    """
    compiling = os.fork()
    if compiling == 0:
        try:
            machine.engine(folder, lambda _: None)
        finally:
            os._exit(0)
    os.waitpid(compiling, 0)
    return machine.engine(folder, lambda _: None)
