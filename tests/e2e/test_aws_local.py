"""`make aws-local` from outside: what it deploys, says, keeps, and leaves behind.

These come last of all that share the local cloud: they end it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from quantlab_server.addresses import port_is_free
from quantlab_server.processes import look_up
from tests.support.aws_platform import AwsPlatform
from tests.support.running_platform import ANSWER_S, ROOT, Document, Platform, all_gone, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (ROOT / ".venv/aws-local").exists() or not (ROOT / "infra/cdk/node_modules").exists(),
        reason="needs what make aws-local installs",
    ),
]
ON_THE_CLOUD = pytest.mark.parametrize("running", ["aws-local"], indirect=True, scope="package")
KEPT = ("tenantId", "apiKey", "users", "accounts", "bots")


@pytest.fixture
def deployed(running: Platform) -> AwsPlatform:
    assert isinstance(running, AwsPlatform)
    return running


def quantlab(deployed: AwsPlatform, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "quantlab_server", *words, "--state", str(deployed.state)),
        cwd=deployed.home,
        env={**os.environ, "QUANTLAB_CONFIGS": str(deployed.configs)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def events(deployed: AwsPlatform, tenant: Document, account_id: str) -> list[Document]:
    answer = httpx.get(
        f"{deployed.url}/tenants/{tenant['tenantId']}/accounts/{account_id}/events",
        params={"limit": 200},
        headers={"X-Api-Key": tenant["apiKey"]},
        timeout=ANSWER_S,
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def trade(deployed: AwsPlatform, tenant: Document) -> str:
    """Paste the printed curl and wait until it has traded; return the signal's id."""
    said = subprocess.run(
        ("bash", "-c", deployed.demo["curl"]), capture_output=True, text=True, check=True
    )
    signal_id = str(json.loads(said.stdout)["signalId"])
    account_id = tenant["bots"][0]["accountId"]

    def executed() -> bool:
        return any(
            event["eventType"] == "webhook.trade_executed"
            and event["payload"]["signalId"] == signal_id
            for event in events(deployed, tenant, account_id)
        )

    assert eventually(executed, ANSWER_S)
    return signal_id


@ON_THE_CLOUD
def test_the_demo_has_the_keys_of_the_local_one(deployed: AwsPlatform) -> None:
    said = json.loads(quantlab(deployed, "demo", "--json", "--stage", "aws-local").stdout)
    assert set(said) == {"url", "wsUrl", "symbols", "tenants", "curl"}
    assert said["url"].startswith(f"{deployed.endpoint}/_aws/execute-api/")
    assert said["wsUrl"].startswith(f"ws://127.0.0.1:{deployed.port}/_aws/execute-api/")
    assert [set(tenant) for tenant in said["tenants"]] == [set(KEPT)] * len(said["tenants"])
    assert set(deployed.pids()) == {
        *("supervisor", "postgres", "valkey", "ministack"),
        *("worker:market_feed", "worker:account_watch", "worker:socket_push"),
        *("worker:backtest_worker", "worker:strategy_runner"),
    }


@ON_THE_CLOUD
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_pasted_curl_trades_and_is_watched(deployed: AwsPlatform) -> None:
    tenant = deployed.demo["tenants"][0]
    account_id = tenant["bots"][0]["accountId"]
    watching = subprocess.Popen(
        (
            *(sys.executable, "-m", "quantlab_server", "watch", "--stage", "aws-local", "--json"),
            *("--account", account_id, "--after-seq", "0", "--count", "3"),
            *("--state", str(deployed.state)),
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        trade(deployed, tenant)
        seen, _ = watching.communicate(timeout=ANSWER_S)
    finally:
        watching.kill()
        watching.wait()
    assert [json.loads(line)["seq"] for line in seen.splitlines()] == [1, 2, 3]


@ON_THE_CLOUD
def test_starting_again_says_that_it_runs(deployed: AwsPlatform) -> None:
    before = deployed.pids()
    again = quantlab(deployed, "aws-local", "up")
    assert again.returncode == 0
    assert f"already running on {deployed.state} (process {before['supervisor']})" in again.stderr
    assert deployed.demo["curl"] in again.stdout
    assert deployed.pids() == before


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif("QUANTLAB_SOAK" not in os.environ, reason="by hand: make soak")
@ON_THE_CLOUD
def test_a_cloud_that_ends_takes_its_group_along_and_keys_outlive_it(
    deployed: AwsPlatform,
) -> None:
    before, pids = deployed.demo, deployed.pids()
    deployed.kill("ministack", signal.SIGKILL)
    assert all_gone(pids, ANSWER_S), f"left running: {pids}"
    assert "ministack ended with exit code -9" in (
        deployed.state / "logs" / "detached.log"
    ).read_text("utf-8")

    deployed.up()
    assert deployed.demo["tenants"] == before["tenants"]
    # The bot's secret was sealed with the keys of the cloud before.
    trade(deployed, before["tenants"][0])


@ON_THE_CLOUD
def test_nothing_outlives_a_killed_supervisor(deployed: AwsPlatform) -> None:
    pids = deployed.pids()
    deployed.kill("supervisor", signal.SIGKILL)
    assert all_gone(pids, ANSWER_S), f"left running: {pids}"
    assert port_is_free(deployed.port)


def test_a_deploy_that_fails_leaves_nothing_running(tmp_path: Path) -> None:
    failing = AwsPlatform(tmp_path, "synthetic")
    shutil.copytree(ROOT / "agent" / "configs", failing.configs)
    (failing.configs / "tenants" / "blue-harbor.json").write_text("{", "utf-8")
    refused = quantlab(failing, "aws-local", "up", "--port", str(failing.port))
    assert refused.returncode == 1
    assert refused.stderr.startswith("cdk-synth failed with exit code 1; it last said: ")
    assert str(failing.state / "logs" / "cdk-synth.log") in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert port_is_free(failing.port)
    assert not (failing.state / "processes.json").exists()
    (line, *_) = (failing.state / "supervisor.pid").read_text("ascii").splitlines() or ("",)
    assert not line or look_up(int(line.split()[0])) is None
