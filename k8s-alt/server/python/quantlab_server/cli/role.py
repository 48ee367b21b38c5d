"""`quantlab role`: one process of the group; the supervisor and container images start these."""

import os
from typing import Final

import typer
from pydantic import ValidationError

from quantlab_edge.settings import Settings
from quantlab_server import roles
from quantlab_server.cli.printing import refuse

PROFILE: Final = "QUANTLAB_PROFILE"
app = typer.Typer(no_args_is_help=True, help="Run one process of the group.")


@app.command()
def server() -> None:
    """Serve the HTTP and socket functions."""
    roles.run_server(_settings())


@app.command()
def queue(name: str) -> None:
    """Drain the queue of one queue function."""
    roles.run_queue(_settings(), name)


@app.command()
def scheduler() -> None:
    """Run every schedule function."""
    roles.run_scheduler(_settings())


@app.command()
def worker(name: str) -> None:
    """Run one worker function; with QUANTLAB_PROFILE=aws, beside functions that run on AWS."""
    if _on_aws():
        roles.run_worker_on_aws(name)
    else:
        roles.run_worker(_settings(), name)


def _on_aws() -> bool:
    profile = os.environ.get(PROFILE, "selfhost")
    if profile not in {"selfhost", "aws"}:
        refuse(f"{PROFILE}: expected selfhost or aws, got {profile!r}.")
    return profile == "aws"


def _settings() -> Settings:
    if _on_aws():
        refuse(f"{PROFILE} is aws, where only workers are processes; the rest are Lambdas.")
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        faults = "; ".join(
            f"QUANTLAB_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()
        )
        refuse(f"the settings are incomplete: {faults}")
