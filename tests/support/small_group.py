"""A supervised group with real stores and small stand-ins for the roles.

Run as a program: `python small_group.py STATE PORT`; prints "the group is up" once it is healthy.
Of the three processes only the supervisor loads the platform.
"""

import asyncio
import http.server
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path


def supervise(state: Path, port: int) -> None:
    from quantlab_server.logs import Console, Output
    from quantlab_server.plan import Role
    from quantlab_server.private_files import private_folder
    from quantlab_server.refusal import Refusal
    from quantlab_server.supervisor import Options, Ready, Supervisor

    def command(role: Role) -> tuple[str, ...]:
        return (sys.executable, "-P", __file__, "quantlab_server role", *role.arguments)

    def announce(_: Ready) -> None:
        print("the group is up", flush=True)

    options = Options(state, "127.0.0.1", port, "synthetic")
    try:
        private_folder(state)
        output = Output(state / "logs", Console(sys.stdout))
        supervisor = Supervisor(
            options, output, seed=lambda _urls, _state: {}, announce=announce, command=command
        )
        supervisor.run((Role("queue:small", ("queue",)), Role("server", ("server",))))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(1)


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def serve() -> None:
    if os.environ.get("SMALL_GROUP_BROKEN"):
        sys.exit("this server is broken")
    server = http.server.HTTPServer(("127.0.0.1", int(os.environ["QUANTLAB_PORT"])), Health)
    _on_stop(lambda: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


def queue() -> None:
    print("the queue works", flush=True)
    stop = asyncio.Event()

    async def wait() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    asyncio.run(wait())


def _on_stop(act: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: act())


if __name__ == "__main__":
    if sys.argv[1] == "quantlab_server role":
        {"server": serve, "queue": queue}[sys.argv[2]]()
    else:
        supervise(Path(sys.argv[1]), int(sys.argv[2]))
