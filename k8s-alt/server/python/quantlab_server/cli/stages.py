"""Which platform a command speaks of: the one on this machine, or the one on the local cloud."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer


class Stage(StrEnum):
    """A platform that `make` starts here."""

    LOCAL = "local"
    AWS_LOCAL = "aws-local"


STATES: Final = {Stage.LOCAL: Path(".state"), Stage.AWS_LOCAL: Path(".state-aws")}
STARTERS: Final = {Stage.LOCAL: "make up", Stage.AWS_LOCAL: "make aws-local"}

StageOption = Annotated[Stage, typer.Option("--stage", help="Which platform of this machine.")]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar="STATE",
        help="Folder of everything that is kept; by default .state, or .state-aws on aws-local.",
    ),
]


def state_of(stage: Stage, state: Path | None) -> Path:
    """Return the state folder that was named, or the stage's own."""
    return STATES[stage] if state is None else state
