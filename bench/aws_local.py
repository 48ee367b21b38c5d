"""`make bench-aws`: signal to WebSocket event on a local cloud, at 20 a second, warm.

The tenants of the bench, limits raised by configuration, are deployed as `make aws-local` does.
Warm means that as many copies of each function run as the load ever asks for at once: the local
cloud starts another one whenever all are busy, and a call waits seconds for that one to unpack its
layers. On AWS provisioned concurrency keeps them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from bench.machine import machine
from bench.world import ROOT, write_configs
from quantlab_server.addresses import free_port
from quantlab_server.aws_local.cloud import Cloud, cloud_variables
from quantlab_server.aws_local.deploy import deployment_of

RATE: Final = 20.0
CONNECTIONS: Final = 8
# As many at once as there are connections, so that each function has a copy for each.
BURST_RATE: Final = 60.0
BURST_S: Final = 2.0
WARM_S: Final = 15.0
SECONDS: Final = 30.0
RUNS: Final = 3
P99_MS_MAX: Final = 100.0
OWN_P50_MS_MAX: Final = 5.0
OUT: Final = ROOT / "bench" / "out"


def main() -> int:
    OUT.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=OUT))
    try:
        with deployed(scratch) as demo:
            return _measure(demo, scratch / "state")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def deployed(folder: Path) -> Iterator[dict[str, Any]]:
    """Deploy the tenants of the bench to a local cloud of their own; end it afterwards."""
    state = folder / "state"
    configs = write_configs(folder / "configs").absolute()

    def quantlab(*words: str) -> None:
        subprocess.run(
            (sys.executable, "-m", "quantlab_server", "aws-local", *words, "--state", str(state)),
            cwd=ROOT,
            env={**os.environ, "QUANTLAB_CONFIGS": str(configs)},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    quantlab("up", "--port", str(free_port()), "--feed", "synthetic")
    try:
        yield json.loads((state / "demo.json").read_text("utf-8"))
    finally:
        quantlab("down")


def _measure(demo: dict[str, Any], state: Path) -> int:
    order = {
        "url": demo["url"],
        "ws_url": demo["wsUrl"],
        "tenants": [
            {
                "apiKey": tenant["apiKey"],
                "accounts": [one["accountId"] for one in tenant["accounts"]],
            }
            for tenant in demo["tenants"]
        ],
        "bots": [bot for tenant in demo["tenants"] for bot in tenant["bots"]],
        "symbols": ["EURUSD"],
        "connections": CONNECTIONS,
        "batched": True,
        "rate": RATE,
    }
    cloud = _cloud_of(demo)
    _wake_by_timer(cloud)
    _load({**order, "rate": BURST_RATE}, "burst", BURST_S)
    _load(order, "warm", WARM_S)
    runs = [_load(order, f"run-{number}", SECONDS) for number in range(1, RUNS + 1)]
    for run in runs:
        print(json.dumps({k: run[k] for k in ("accept_ms", "event_ms", "codes", "events_lost")}))
    webhook = _webhook_alone(demo, state, cloud)
    report = {"machine": machine(), "runs": runs, "webhook": webhook}
    path = OUT / f"aws-local-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps(report, indent=2), "utf-8")
    p99 = sorted(run["event_ms"]["p99"] or 1e9 for run in runs)
    print(f"signal to event p99 at {RATE:.0f}/s, ms: {p99[0]} / {p99[1]} / {p99[-1]}")
    print(f"the webhook function alone, ms: {json.dumps(webhook)}")
    print(f"all figures: {path.relative_to(ROOT)}")
    return 0 if p99[1] < P99_MS_MAX and webhook["own_ms"]["p50"] <= OWN_P50_MS_MAX else 1


def _cloud_of(demo: dict[str, Any]) -> Cloud:
    address = urlsplit(demo["url"])
    return Cloud(f"{address.scheme}://{address.netloc}", ours=True)


def _wake_by_timer(cloud: Cloud) -> None:
    """Start what timers wake during a run: each schedule, and a second copy of each queue's."""
    variables = cloud_variables(cloud, {})
    client = boto3.client(
        "lambda",
        endpoint_url=cloud.endpoint,
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(read_timeout=120),
    )
    names = [one["FunctionName"] for one in client.list_functions()["Functions"]]
    wanted = [name for name in names if "-schedule-" in name]
    wanted += [name for name in names if "-queue-" in name for _ in range(2)]
    if not wanted:
        raise RuntimeError(f"expected functions that timers wake, got {names}")
    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(lambda name: client.invoke(FunctionName=name, Payload=b"{}"), wanted))


def _webhook_alone(demo: dict[str, Any], state: Path, cloud: Cloud) -> dict[str, Any]:
    """Call the webhook function's entry on the same stores and queues, nothing else under way."""
    bots = [bot for tenant in demo["tenants"] for bot in tenant["bots"]]
    variables = {
        **deployment_of(state).variables,
        **cloud_variables(cloud, os.environ),
        "QUANTLAB_FUNCTION": "http/webhooks",
    }
    return _answer_of("bench.warm", {"bots": bots, "run": f"{time.time_ns()}"}, variables)


def _load(order: dict[str, Any], run: str, seconds: float) -> dict[str, Any]:
    told = {**order, "run": f"{run}-{time.time_ns()}", "seconds": seconds}
    return _answer_of("bench.pipeline", told, dict(os.environ))


def _answer_of(module: str, order: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        (sys.executable, "-m", module),
        cwd=ROOT,
        env=environment,
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
