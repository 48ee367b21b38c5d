"""Pages of the audit log, within what the actor may see."""

from collections.abc import Sequence

from quantlab.audit.chain import Entry
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.audit import AuditQuery
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.visibility import require_visible, visible_ids


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Times half-open in nanoseconds; after is the sort key of the last entry seen."""

    start_ns: int | None
    end_ns: int | None
    event_type: str | None
    after: tuple[int, str, int] | None
    limit: int


async def read_account_audit(
    ports: Ports, scope: Scope, account_id: str, wanted: AuditFilter
) -> Sequence[Entry]:
    """Return an account's entries by time; NotFound when the account is not visible."""
    await require_visible(ports, scope, (account_id,))
    return await ports.audit_log.page(scope, _query((account_id,), wanted))


async def read_tenant_audit(ports: Ports, scope: Scope, wanted: AuditFilter) -> Sequence[Entry]:
    """Return the entries of every stream the actor may see, by time."""
    streams = await visible_ids(ports, scope)
    return await ports.audit_log.page(scope, _query(streams, wanted))


def _query(streams: Sequence[str] | None, wanted: AuditFilter) -> AuditQuery:
    return AuditQuery(
        streams, wanted.start_ns, wanted.end_ns, wanted.event_type, wanted.after, wanted.limit
    )
