"""The calendar of releases that rules about news look at."""

import hashlib
from collections.abc import Mapping
from typing import Any

from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.instants import format_rfc3339
from quantlab.rules.surroundings import parse_news_calendar, write_news_calendar
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.news import StoredCalendar
from quantlab_app.use_cases.tenant_events import note


async def put_calendar(
    ports: Ports, scope: Scope, document: Mapping[str, Any]
) -> tuple[StoredCalendar, bool]:
    """Replace the tenant's calendar; say whether it is another one than before.

    ProfileError lists what is wrong with the document: then nothing is changed.
    """
    calendar = parse_news_calendar(document)
    version = hashlib.sha256(canonical_json(write_news_calendar(calendar))).hexdigest()
    now_ns = ports.clock.now_ns()
    put_by = f"{scope.actor.kind}:{scope.actor.id}"
    changed = await ports.news_calendars.put(
        scope, StoredCalendar(calendar, version, put_by, now_ns)
    )
    if changed:
        told: dict[str, Json] = {
            "version": version,
            "until": format_rfc3339(calendar.until_ns),
            "events": len(calendar.events),
            "by": put_by,
        }
        event_type = "news_calendar.changed"
        await note(ports.inbox, ports.ids, scope, event_type, told, now_ns=now_ns)
    return await read_calendar(ports, scope), changed


async def read_calendar(ports: Ports, scope: Scope) -> StoredCalendar:
    """Return the tenant's calendar; NotFound when there is none."""
    stored = await ports.news_calendars.current(scope)
    if stored is None:
        raise NotFound("news calendar")
    return stored
