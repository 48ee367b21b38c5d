"""`quantlab role`: one process of the group; the supervisor and container images start these.

Where a line of it is plainly written, `entry` begins the process without typer.
"""

import typer

from quantlab_server.role_start import begin

app = typer.Typer(no_args_is_help=True, help="Run one process of the group.")


@app.command()
def server() -> None:
    """Serve the HTTP and socket functions."""
    begin("server")


@app.command()
def queue(name: str) -> None:
    """Drain the queue of one queue function."""
    begin("queue", name)


@app.command()
def scheduler() -> None:
    """Run every schedule function."""
    begin("scheduler")


@app.command()
def worker(name: str) -> None:
    """Run one worker function; with QUANTLAB_PROFILE=aws, beside functions that run on AWS."""
    begin("worker", name)
