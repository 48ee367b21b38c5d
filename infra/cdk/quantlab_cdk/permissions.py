"""What each port may do on AWS: the one table that roles of functions are made from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk.aws_iam import PolicyStatement

from quantlab_cdk.resources import Resources


class UnknownPortError(Exception):
    """A port that the table does not know."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Some actions on some resources; wildcard_reason stands where a resource has one."""

    name: str
    actions: tuple[str, ...]
    on: Callable[[Resources], Sequence[str]]
    wildcard_reason: str | None = None

    def statement(self, resources: Resources) -> PolicyStatement:
        return PolicyStatement(
            sid=self.name, actions=list(self.actions), resources=list(self.on(resources))
        )


READ: Final = ("secretsmanager:GetSecretValue",)
STORES: Final = Grant("Stores", READ, lambda r: [r.stores_secret_arn])
KEYS: Final = Grant("Keys", READ, lambda r: [r.keys_secret_arn])
SECRETS: Final = Grant(
    "Secrets",
    READ,
    lambda r: [r.secret_arn("platform/*"), r.secret_arn("tenants/*")],
    "Which secrets a tenant has is data of the tenant, not of the stack; the prefix is the bound.",
)
ORDERS: Final = Grant("Orders", ("sqs:SendMessage",), lambda r: [r.queue_arns["orders"]])
WAKES: Final = Grant("Wakes", ("sqs:SendMessage",), lambda r: sorted(r.queue_arns.values()))
BUS: Final = Grant("EventBus", ("events:PutEvents",), lambda r: [r.event_bus_arn])
SOCKETS: Final = Grant(
    "Sockets",
    ("execute-api:ManageConnections",),
    lambda r: [r.socket_connections_arn],
    "Connections come and go; the resource names the one API and stage they belong to.",
)
ARCHIVE: Final = Grant(
    "Archive",
    ("s3:GetObject", "s3:PutObject"),
    lambda r: [f"{r.archive_arn}/*"],
    "Objects are named by symbol and day; the resource names the one bucket they lie in.",
)
# Without it the service says of an object that is not there that it is forbidden.
ABSENT: Final = Grant("Absent", ("s3:ListBucket",), lambda r: [r.archive_arn])
MAIL: Final = Grant("Mail", ("ses:SendEmail",), lambda r: r.mail_identity_arns)
VAULT: Final = Grant(
    "Vault",
    (*READ, "secretsmanager:CreateSecret"),
    lambda r: [r.secret_arn("tenants/*")],
    "Which tenants there are is data of the deployment; the prefix is the bound.",
)
FIRST_KEYS: Final = Grant(
    "FirstKeys", (*READ, "secretsmanager:PutSecretValue"), lambda r: [r.keys_secret_arn]
)

NOTHING: Final[tuple[Grant, ...]] = ()
IN_STORES: Final = (STORES,)
GRANTS: Final[Mapping[str, tuple[Grant, ...]]] = {
    "access_tokens": (KEYS,),
    "account_links": IN_STORES,
    "account_owners": IN_STORES,
    "accounts": IN_STORES,
    "api_keys": IN_STORES,
    "approvals": IN_STORES,
    "audit_log": IN_STORES,
    "backtest_runner": NOTHING,
    "backtests": IN_STORES,
    "bad_tick_ranges": IN_STORES,
    "bars": IN_STORES,
    "bots": IN_STORES,
    "catalog": NOTHING,
    "clock": NOTHING,
    "credential_cache": IN_STORES,
    "directory": IN_STORES,
    "event_bus": (STORES, BUS),
    "event_log": IN_STORES,
    "execution": IN_STORES,
    "halts": IN_STORES,
    "identity_policy": NOTHING,
    "ids": NOTHING,
    "inbox": (STORES, ORDERS),
    "keys": (KEYS,),
    "known_bots": (STORES, KEYS),
    "login_attempts": IN_STORES,
    "mail": (MAIL,),
    "metrics_board": IN_STORES,
    "news_calendars": IN_STORES,
    "note_quote_refusals": (STORES, ORDERS),
    "one_time_codes": NOTHING,
    "open_tick_source": NOTHING,
    "checkpoints": IN_STORES,
    "outbox": IN_STORES,
    "passwords": NOTHING,
    "probes": IN_STORES,
    "pushes": (SOCKETS,),
    "quicken_watch": NOTHING,
    "quote_sink": IN_STORES,
    "quotes": IN_STORES,
    "recordings": IN_STORES,
    "result_files": (ARCHIVE, ABSENT),
    "rulebooks": IN_STORES,
    "secrets": (SECRETS,),
    "sessions": IN_STORES,
    "shard": NOTHING,
    "signal_counts": IN_STORES,
    "signal_limits": IN_STORES,
    "stamps": IN_STORES,
    "strategies": IN_STORES,
    "strategy_runs": IN_STORES,
    "strategy_sandbox": NOTHING,
    "subscriptions": IN_STORES,
    "tenant_configs": IN_STORES,
    "tenants": IN_STORES,
    "tick_archive": (ARCHIVE, ABSENT),
    "tick_log": IN_STORES,
    "tick_segments": IN_STORES,
    "tickets": IN_STORES,
    "unauthenticated": IN_STORES,
    "users": IN_STORES,
    "vault": (FIRST_KEYS, VAULT),
    "wakes": (WAKES,),
    "webhook_deliveries": IN_STORES,
    "webhook_endpoints": IN_STORES,
    "webhook_sender": NOTHING,
}


def grants_of(ports: Iterable[str]) -> tuple[Grant, ...]:
    """Return what a function that names these ports may do, each grant once."""
    granted: dict[str, Grant] = {}
    for port in ports:
        if port not in GRANTS:
            raise UnknownPortError(f"{port}: say in permissions.py what this port may do")
        granted |= {grant.name: grant for grant in GRANTS[port]}
    return tuple(granted[name] for name in sorted(granted))
