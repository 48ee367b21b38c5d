"""A tenant with a program that can be gone through in a minute: gates of one profitable trade."""

import json
from typing import Any

from quantlab.tenancy.config import TenantConfig, parse_tenant_config
from quantlab.tenancy.scope import system_scope
from quantlab.tenancy.validation import References
from quantlab_edge.tenant_files import read_configs
from tests.support.rule_cases import document, percent, rule
from tests.support.world import ALPHA, CONFIGS, World

LOSS = rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")
DONE = rule(
    "consistency", "gate", maxSharePercent="100", comparator="gt", openDayCounts=True, total="net"
)
PHASES: list[dict[str, Any]] = [
    {"id": "evaluation", "name": "Evaluation", "stage": "evaluation", "profile": "quick"},
    {"id": "verification", "name": "Verification", "stage": "verification", "profile": "quick"},
    {
        "id": "funded",
        "name": "Funded",
        "stage": "funded",
        "profile": "only-loss",
        "scalePercent": "200",
        "payouts": {
            "splitPercent": "80",
            "gates": {"minimumProfit": {"amount": "50.00"}, "buffer": {"amount": "10.00"}},
        },
    },
]
TYPE = "steps-10k"


def steps_config(loss: dict[str, Any] = LOSS) -> TenantConfig:
    """Return the demo tenant with the program; loss is its daily loss in every phase."""
    read = read_configs(CONFIGS).references
    profiles = {
        **read.profiles,
        "quick": {**document(loss, DONE), "name": "quick"},
        "only-loss": {**document(loss), "name": "only-loss"},
    }
    references = References(profiles, read.instruments, read.currency_digits)
    tenant = json.loads((CONFIGS / "tenants" / f"{ALPHA}.json").read_text())
    tenant["programs"] = [
        *tenant.get("programs", []),
        {"id": "steps", "name": "Steps", "phases": PHASES},
    ]
    tenant["accountTypes"].append(
        {
            "id": TYPE,
            "name": "Steps 10K",
            "currency": "USD",
            "initialBalance": "10000.00",
            "program": "steps",
        }
    )
    return parse_tenant_config(tenant, references)


async def record_steps(world: World, loss: dict[str, Any] = LOSS) -> TenantConfig:
    """Make the configuration with the program current."""
    config = steps_config(loss)
    scope = system_scope(ALPHA, "test", "test")
    await world.ports.tenant_configs.record(scope, config)
    return config
