"""Manifests: what is read, and how each fault is named."""

from pathlib import Path

import pytest

from quantlab_manifest import (
    DeployWake,
    GatewayWake,
    HttpWake,
    ManifestError,
    QueueWake,
    ScheduleWake,
    SocketWake,
    WorkerWake,
    load,
    load_all,
)
from quantlab_manifest.duration import milliseconds

GOOD = {
    "name": '"order_execute"',
    "kind": '"queue"',
    "description": '"Executes pending commands of accounts."',
    "memory_mb": "512",
    "timeout_s": "30",
    "concurrency": "2",
    "ports": '["inbox", "quotes"]',
    "alarms": '["errors", "queue_age"]',
}
WAKES = {
    "http": 'prefix = "/tenants/{tenantId}/accounts"\nrouter = "router"',
    "socket": 'route = "$connect"',
    "queue": 'queue = "orders"',
    "schedule": 'every = "PT5M"',
    "worker": "",
    "gateway": 'asks = "authorizer"',
    "deploy": 'resource = "tenant"',
}


def write(root: Path, *, kind: str = "queue", name: str = "order_execute", **changes: str) -> Path:
    values = {**GOOD, "kind": f'"{kind}"', "name": f'"{name}"', **changes}
    wake = values.pop("wake", WAKES[kind])
    folder = root / kind / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {value}" for key, value in values.items() if value]
    if wake:
        lines += ["[wake]", wake]
    file = folder / "function.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("kind", "wake"),
    [
        ("http", HttpWake(("/tenants/{tenantId}/accounts",), "router")),
        ("socket", SocketWake("$connect")),
        ("queue", QueueWake("orders")),
        ("schedule", ScheduleWake(300_000)),
        ("worker", WorkerWake()),
        ("gateway", GatewayWake("authorizer")),
        ("deploy", DeployWake("tenant")),
    ],
)
def test_each_kind_is_read(tmp_path: Path, kind: str, wake: object) -> None:
    manifest = load(write(tmp_path, kind=kind))
    assert manifest.wake == wake
    assert (manifest.memory_mb, manifest.timeout_s, manifest.concurrency) == (512, 30, 2)
    assert manifest.ports == ("inbox", "quotes")
    assert manifest.alarms == ("errors", "queue_age")
    assert manifest.module == f"functions.{kind}.order_execute.handler"


@pytest.mark.parametrize(
    ("changes", "key", "got"),
    [
        ({"description": '"short"'}, "description", "short"),
        ({"description": ""}, "description", "None"),
        ({"memory_mb": "64"}, "memory_mb", "64"),
        ({"memory_mb": '"512"'}, "memory_mb", "512"),
        ({"timeout_s": "901"}, "timeout_s", "901"),
        ({"concurrency": "true"}, "concurrency", "True"),
        ({"ports": '["Inbox"]'}, "ports", "Inbox"),
        ({"ports": '["inbox", "inbox"]'}, "ports", "inbox"),
        ({"alarms": '["smoke"]'}, "alarms", "smoke"),
        ({"colour": '"red"'}, "colour", "colour"),
        ({"wake": 'queue = "orders"\nbatch = 3'}, "wake.batch", "batch"),
        ({"wake": 'queue = "Orders!"'}, "wake.queue", "Orders!"),
        ({"wake": 'every = "PT5M"'}, "wake.every", "every"),
    ],
)
def test_each_fault_names_file_key_and_value(
    tmp_path: Path, changes: dict[str, str], key: str, got: str
) -> None:
    file = write(tmp_path, **changes)
    with pytest.raises(ManifestError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}: {key}: expected ")
    assert got in str(raised.value).partition(", got ")[2]


@pytest.mark.parametrize(
    ("line", "instead", "key"),
    [
        ('name = "order_execute"', 'name = "other"', "name"),
        ('kind = "queue"', 'kind = "timer"', "kind"),
        ('kind = "queue"', 'kind = "worker"', "kind"),
    ],
)
def test_a_manifest_must_fit_its_folder(tmp_path: Path, line: str, instead: str, key: str) -> None:
    file = write(tmp_path)
    file.write_text(file.read_text().replace(line, instead))
    with pytest.raises(ManifestError, match=f": {key}: expected ") as raised:
        load(file)
    assert raised.value.key == key


def test_a_function_may_answer_below_several_paths(tmp_path: Path) -> None:
    wake = 'prefix = ["/oauth2", "/.well-known"]\nrouter = "router"'
    manifest = load(write(tmp_path, kind="http", wake=wake))
    assert manifest.wake == HttpWake(("/oauth2", "/.well-known"), "router")


@pytest.mark.parametrize("prefix", ["[]", "7", '["/oauth2", 7]', '"oauth2"', '["/oauth2/"]'])
def test_a_path_that_is_none_is_a_fault(tmp_path: Path, prefix: str) -> None:
    wake = f'prefix = {prefix}\nrouter = "router"'
    with pytest.raises(ManifestError, match=r"wake\.prefix: expected text like"):
        load(write(tmp_path, kind="http", wake=wake))


def test_a_function_may_be_public_and_answer_what_no_other_does(tmp_path: Path) -> None:
    wake = 'prefix = "$default"\nrouter = "router"\npublic = true'
    manifest = load(write(tmp_path, kind="http", wake=wake))
    assert manifest.wake == HttpWake(("$default",), "router", public=True)


def test_a_queue_may_gather(tmp_path: Path) -> None:
    manifest = load(write(tmp_path, kind="queue", wake='queue = "audit"\ngathers = true'))
    assert manifest.wake == QueueWake("audit", gathers=True)


def test_a_function_may_read_its_requests_itself(tmp_path: Path) -> None:
    wake = 'prefix = "/oauth2"\nrouter = "router"\nraw = true'
    manifest = load(write(tmp_path, kind="http", wake=wake))
    assert manifest.wake == HttpWake(("/oauth2",), "router", raw=True)


@pytest.mark.parametrize("flag", ["1", '"yes"'])
def test_what_is_neither_true_nor_false_is_a_fault(tmp_path: Path, flag: str) -> None:
    wake = f'prefix = "/oauth2"\nrouter = "router"\npublic = {flag}'
    with pytest.raises(ManifestError, match=r"wake\.public: expected true or false"):
        load(write(tmp_path, kind="http", wake=wake))


def test_a_worker_may_be_of_one_profile(tmp_path: Path) -> None:
    manifest = load(write(tmp_path, kind="worker", wake='only = "aws"'))
    assert manifest.wake == WorkerWake("aws")
    assert manifest.runs_on("aws")
    assert not manifest.runs_on("selfhost")


def test_a_profile_that_is_none_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"wake\.only: expected one of selfhost, aws, got 'gcp'"
    ):
        load(write(tmp_path, kind="worker", wake='only = "gcp"'))


@pytest.mark.parametrize("kind", ["gateway", "deploy"])
def test_what_a_gateway_or_a_deployment_asks_is_only_on_aws(tmp_path: Path, kind: str) -> None:
    manifest = load(write(tmp_path, kind=kind))
    assert manifest.runs_on("aws")
    assert not manifest.runs_on("selfhost")


def test_a_missing_manifest_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "queue" / "bare").mkdir(parents=True)
    (tmp_path / "queue" / "bare" / "handler.py").touch()
    with pytest.raises(ManifestError, match="a manifest in every function folder"):
        load_all(tmp_path)


def test_broken_toml_is_a_fault(tmp_path: Path) -> None:
    file = write(tmp_path, memory_mb="= 3")
    with pytest.raises(ManifestError, match="readable TOML"):
        load(file)


def test_all_are_read_in_order_of_kind_and_name(tmp_path: Path) -> None:
    write(tmp_path, kind="worker", name="market_feed")
    write(tmp_path, kind="queue", name="order_execute")
    write(tmp_path, kind="queue", name="audit_append", wake='queue = "audit"')
    (tmp_path / "queue" / "__pycache__").mkdir()
    (tmp_path / "queue" / "deleted" / "__pycache__").mkdir(parents=True)
    assert [manifest.name for manifest in load_all(tmp_path)] == [
        "audit_append",
        "order_execute",
        "market_feed",
    ]


@pytest.mark.parametrize("kind", ["http", "gateway", "deploy", "socket"])
def test_two_functions_of_one_path_or_question_are_a_fault(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind=kind, name="first")
    write(tmp_path, kind=kind, name="second")
    with pytest.raises(ManifestError, match=r"wake: expected something that wakes first not"):
        load_all(tmp_path)


def test_two_functions_of_one_queue_are_a_fault(tmp_path: Path) -> None:
    write(tmp_path, name="order_execute")
    write(tmp_path, name="order_repeat")
    with pytest.raises(ManifestError, match="order_execute"):
        load_all(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5M", 300_000),
        ("PT0.5S", 500),
        ("PT0.025S", 25),
        ("P1D", 86_400_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("PT1H30M", 5_400_000),
        ("PT0S", None),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("5M", None),
        ("P1M", None),
        ("PT-5M", None),
        ("PT5M ", None),
        ("PT0.0001S", None),
    ],
)
def test_durations(text: str, expected: int | None) -> None:
    assert milliseconds(text) == expected
