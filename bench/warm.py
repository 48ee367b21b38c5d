"""The webhook Lambda's own warm time: its entry as the runtime calls it, in a process of its own.

Run as `python -m bench.warm < ORDER` with the variables a deployment gives its Lambdas. Own is what
a call takes less the time in which it waits for SQS, which on a local cloud is the emulator's.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from quantlab.webhooks.signature import sign
from quantlab_adapters.aws.clients import Clients
from quantlab_edge.lambdas_entry import Entry
from quantlab_edge.settings_aws import read_aws_settings

WARM_CALLS: Final = 50
CALLS: Final = 200
# What a signal sets off elsewhere is over before the next one comes.
PAUSE_S: Final = 0.15


class Waiting:
    """How long calls to AWS have taken since it was last asked."""

    def __init__(self) -> None:
        self._spent_s = 0.0
        inner = Clients.call

        async def call(clients: Clients, work: Any) -> Any:
            began = time.perf_counter()
            try:
                return await inner(clients, work)
            finally:
                self._spent_s += time.perf_counter() - began

        Clients.call = call  # type: ignore[assignment, method-assign]

    def take_ms(self) -> float:
        spent_s, self._spent_s = self._spent_s, 0.0
        return spent_s * 1000


def main() -> int:
    order = json.load(sys.stdin)
    waiting, entry = Waiting(), Entry(read_aws_settings())
    context = SimpleNamespace(aws_request_id="bench")
    total, own, cpu = [], [], []
    with Path("/dev/null").open("w") as nowhere:
        printed, sys.stdout = sys.stdout, nowhere  # the runtime collects a function's lines
        for number in range(WARM_CALLS + CALLS):
            bot = order["bots"][number % len(order["bots"])]
            event = signal_event(bot, f"{order['run']}-{number}", number)
            time.sleep(PAUSE_S)
            waiting.take_ms()
            began, cpu_began = time.perf_counter(), time.process_time()
            answer = entry(event, context)
            took_ms = (time.perf_counter() - began) * 1000
            if answer["statusCode"] != 202:
                raise RuntimeError(f"expected 202, got {answer}")
            if number >= WARM_CALLS:
                total.append(took_ms)
                own.append(took_ms - waiting.take_ms())
                cpu.append((time.process_time() - cpu_began) * 1000)
        sys.stdout = printed
    entry.close()
    print(json.dumps({"total_ms": _told(total), "own_ms": _told(own), "cpu_ms": _told(cpu)}))
    return 0


def signal_event(bot: dict[str, Any], signal_id: str, number: int) -> dict[str, Any]:
    """Write a signed signal as API Gateway's HTTP API hands it on (payload format 2.0)."""
    body = json.dumps(
        {
            "id": signal_id,
            "symbol": "EURUSD",
            "action": "buy" if number % 2 == 0 else "sell",
            "quantity": "0.10",
        }
    )
    signature = sign(bot["secret"], int(time.time()), body.encode())
    return {
        "version": "2.0",
        "routeKey": "POST /webhooks/signals",
        "rawPath": "/webhooks/signals",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "x-bot-id": bot["botId"],
            "x-signature": signature,
            "content-length": str(len(body)),
        },
        "requestContext": {
            "domainName": "bench",
            "http": {
                "method": "POST",
                "path": "/webhooks/signals",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
            },
            "requestId": f"bench-{number}",
            "stage": "$default",
        },
        "isBase64Encoded": False,
        "body": body,
    }


def _told(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p90": round(ordered[int(len(ordered) * 0.9)], 2),
        "p99": round(ordered[int(len(ordered) * 0.99)], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
