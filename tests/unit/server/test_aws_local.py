"""The local cloud's start, where no cloud is needed: arguments, addresses, variables, refusals."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab_server import plan
from quantlab_server.aws_local.cloud import (
    ENVIRONMENT,
    Cloud,
    choose_cloud,
    cloud_variables,
    ministack,
)
from quantlab_server.aws_local.deploy import CDK, OUTPUTS_FILE, Cdk, deployment_of
from quantlab_server.cli.stages import Stage, state_of
from quantlab_server.refusal import Refusal

OURS = Cloud("http://127.0.0.1:4566", ours=True)
SPINE = {
    "HttpUrl": "http://127.0.0.1:4566/_aws/execute-api/0a1b2c3d/$default",
    "SocketUrl": "ws://127.0.0.1:4566/_aws/execute-api/4e5f6a7b/live",
    "Environment": json.dumps({"QUANTLAB_STAGE": "aws-local"}),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose environments are installed."""
    for program in (CDK, ENVIRONMENT / "bin" / "python"):
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).touch()
    monkeypatch.setattr(plan, "root_folder", lambda: tmp_path)
    return tmp_path


def test_without_an_endpoint_the_cloud_is_our_own() -> None:
    assert choose_cloud(4570, {}) == Cloud("http://127.0.0.1:4570", ours=True)
    assert choose_cloud(4570, {"AWS_ENDPOINT_URL": ""}).ours


def test_an_endpoint_in_the_environment_is_somebody_elses() -> None:
    named = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4577/"}
    assert choose_cloud(4566, named) == Cloud("http://127.0.0.1:4577", ours=False)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("localhost:4566", "expected http://HOST:PORT of a local cloud, got 'localhost:4566'"),
        ("https://sqs.us-east-1.amazonaws.com", "names AWS itself (sqs.us-east-1.amazonaws.com)"),
    ],
)
def test_an_endpoint_that_is_no_local_cloud_is_refused(endpoint: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        choose_cloud(4566, {"AWS_ENDPOINT_URL": endpoint})
    assert said in str(refused.value)


def test_variables_lead_nowhere_but_to_the_local_cloud() -> None:
    login = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL_SQS": "x"}
    found = cloud_variables(OURS, {**login, "PATH": "/bin"})
    assert not set(login) & set(found)
    assert found["PATH"] == "/bin"
    assert found["AWS_ENDPOINT_URL"] == OURS.endpoint
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_CONFIG_FILE"]) == ("test", os.devnull)


def test_ministack_listens_on_loopback_and_keeps_to_its_folder(root: Path, tmp_path: Path) -> None:
    environment = {"QUANTLAB_DATABASE_URL": "secret", "PERSIST_STATE": "1", "PYTHONPATH": "x"}
    program = ministack(OURS, tmp_path, environment)
    found = program.environment
    script = str(root / "infra/aws_local/run_ministack.py")
    assert program.argv == (str(root / ".venv/aws-local/bin/python"), "-P", script)
    assert not set(environment) & set(found)
    assert (found["GATEWAY_PORT"], found["BIND_HOST"]) == ("4566", "127.0.0.1")
    assert (found["LAMBDA_EXECUTOR"], found["IOT_MTLS_ENABLED"]) == ("local", "0")
    folder = str(tmp_path / "ministack")
    assert {found[name] for name in ("TMPDIR", "STATE_DIR", "S3_DATA_DIR")} == {folder}
    assert program.scratch == tmp_path / "ministack"


def test_what_is_not_installed_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "root_folder", lambda: root / "elsewhere")
    with pytest.raises(Refusal, match=r"MiniStack is not installed in .*: run make aws-local"):
        ministack(OURS, tmp_path, {})
    with pytest.raises(Refusal, match=r"the CDK is not installed .*: run make aws-local"):
        Cdk(tmp_path, tmp_path, OURS, {})


def test_the_cdk_is_told_the_stage_and_no_secret(root: Path, tmp_path: Path) -> None:
    state, configs = tmp_path / "state", tmp_path / "configs"
    cdk = Cdk(state, configs, OURS, {"PATH": "/usr/bin"})
    synth = cdk.synth()
    contexts = [synth.argv[n + 1] for n, word in enumerate(synth.argv) if word == "-c"]
    assert contexts == [
        "stage=aws-local",
        f"local_endpoint={OURS.endpoint}",
        f"configs={configs}",
    ]
    assert synth.folder == root
    assert synth.environment["PATH"].startswith(f"{root / '.venv' / 'bin'}:")
    # Where a cdk.json lies, bootstrap would synthesize the app of the default stage.
    assert cdk.bootstrap().folder == state
    for program in (cdk.deploy_spine(), cdk.deploy_tenants()):
        assert program.argv[program.argv.index("--app") + 1] == str(state / "cdk.out")
        assert program.argv[4:6] == ("--require-approval", "never")
    assert {"Tenants", "Alarms", "--exclusively"} <= set(cdk.deploy_tenants().argv)


def test_addresses_follow_a_path_directly(tmp_path: Path) -> None:
    (tmp_path / OUTPUTS_FILE).write_text(json.dumps({"Spine": SPINE}), "utf-8")
    found = deployment_of(tmp_path)
    assert found.url == "http://127.0.0.1:4566/_aws/execute-api/0a1b2c3d"
    assert found.ws_url == SPINE["SocketUrl"]
    assert found.variables == {"QUANTLAB_STAGE": "aws-local"}


def test_outputs_that_lack_a_name_are_refused(tmp_path: Path) -> None:
    outputs = {name: value for name, value in SPINE.items() if name != "SocketUrl"}
    (tmp_path / OUTPUTS_FILE).write_text(json.dumps({"Spine": outputs}), "utf-8")
    with pytest.raises(Refusal, match="lacks SocketUrl"):
        deployment_of(tmp_path)


def test_each_stage_has_a_state_folder() -> None:
    assert state_of(Stage.LOCAL, None) == Path(".state")
    assert state_of(Stage.AWS_LOCAL, None) == Path(".state-aws")
    assert state_of(Stage.AWS_LOCAL, Path("mine")) == Path("mine")


def quantlab(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "quantlab_server", *map(str, words)),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_one_sentence_and_nothing_runs(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = quantlab("aws-local", "up", "--port", port, "--state", tmp_path / "state")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"port {port} on 127.0.0.1 is taken; choose another: make aws-local AWS_PORT={port + 1}\n"
    )
    assert not (tmp_path / "state" / "processes.json").exists()


def test_an_endpoint_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    refused = quantlab(
        *("aws-local", "up", "--state", tmp_path / "state"),
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )
    assert refused.returncode == 1
    assert refused.stderr == "AWS_ENDPOINT_URL=http://127.0.0.1:9: no local cloud answers there.\n"


def test_a_demo_that_was_never_started_says_what_starts_it(tmp_path: Path) -> None:
    for stage, starter in (("local", "make up"), ("aws-local", "make aws-local")):
        refused = quantlab("demo", "--json", "--stage", stage, "--state", tmp_path)
        assert refused.returncode == 1
        assert refused.stderr.endswith(f"run {starter} first\n")


def test_down_where_nothing_runs_is_no_failure(tmp_path: Path) -> None:
    stopped = quantlab("aws-local", "down", "--state", tmp_path / "state")
    assert (stopped.returncode, stopped.stdout) == (0, f"nothing runs on {tmp_path / 'state'}\n")


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("server", "QUANTLAB_PROFILE is aws, where only workers are processes"),
        (
            "worker market_feed",
            "the settings are incomplete: QUANTLAB_PUBLIC_URL: Field required; ",
        ),
    ],
)
def test_only_workers_with_their_variables_run_beside_lambdas(role: str, said: str) -> None:
    refused = quantlab("role", *role.split(), QUANTLAB_PROFILE="aws")
    assert refused.returncode == 1
    assert refused.stderr.startswith(said)
    assert refused.stderr.count("\n") == 1


def test_an_unknown_profile_is_refused() -> None:
    refused = quantlab("role", "worker", "market_feed", QUANTLAB_PROFILE="gcp")
    assert refused.returncode == 1
    assert refused.stderr == "QUANTLAB_PROFILE: expected selfhost or aws, got 'gcp'.\n"
