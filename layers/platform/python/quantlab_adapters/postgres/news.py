"""Calendars of releases in PostgreSQL."""

from collections.abc import Iterable
from typing import Any

from quantlab.rules.surroundings import NewsCalendar, NewsEvent
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.news import StoredCalendar

_PUT = """
insert into news_calendar as c (tenant_id, version, until_ns, put_by, put_ns)
values (%(tenant)s, %(version)s, %(until)s, %(by)s, %(now)s)
on conflict (tenant_id) do update set version = excluded.version, until_ns = excluded.until_ns,
  put_by = excluded.put_by, put_ns = excluded.put_ns
where c.version <> excluded.version
"""
_RELEASE = """
insert into news_release (tenant_id, at_ns, number, name, impact, currencies, symbols)
values (%s, %s, %s, %s, %s, %s, %s)
"""
# One statement, so that the releases are those of the calendar they are returned with.
_READ = """
select c.version, c.until_ns, c.put_by, c.put_ns,
  (select json_agg(json_build_array(r.at_ns, r.name, r.impact, r.currencies, r.symbols)
      order by r.at_ns, r.number)
    from news_release r where r.tenant_id = %(tenant)s
      and r.at_ns between %(from)s and %(to)s) as events
from news_calendar c where c.tenant_id = %(tenant)s
"""
_EVER = (-(1 << 63), (1 << 63) - 1)


class PostgresNewsCalendars:
    """NewsCalendars port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, scope: Scope, stored: StoredCalendar) -> bool:
        tenant_id, calendar = scope.tenant_id, stored.calendar
        values = {
            "tenant": tenant_id,
            "version": stored.version,
            "until": calendar.until_ns,
            "by": stored.put_by,
            "now": stored.put_ns,
        }
        async with self._database.tenant(tenant_id) as connection:
            if (await connection.execute(_PUT, values)).rowcount == 0:
                return False
            await connection.execute("delete from news_release where tenant_id = %s", (tenant_id,))
            await connection.cursor().executemany(
                _RELEASE,
                [
                    (
                        *(tenant_id, event.at_ns, number, event.name, event.impact),
                        *(sorted(event.currencies), sorted(event.symbols)),
                    )
                    for number, event in enumerate(calendar.events)
                ],
            )
            return True

    async def current(self, scope: Scope) -> StoredCalendar | None:
        row = await self._read(scope, *_EVER)
        if row is None:
            return None
        calendar = NewsCalendar(_events(row["events"] or ()), row["until_ns"])
        return StoredCalendar(calendar, row["version"], row["put_by"], row["put_ns"])

    async def near(self, scope: Scope, from_ns: int, to_ns: int) -> NewsCalendar | None:
        row = await self._read(scope, from_ns, to_ns)
        if row is None:
            return None
        return NewsCalendar(_events(row["events"] or ()), min(row["until_ns"], to_ns))

    async def _read(self, scope: Scope, from_ns: int, to_ns: int) -> dict[str, Any] | None:
        values = {"tenant": scope.tenant_id, "from": from_ns, "to": to_ns}
        async with self._database.tenant(scope.tenant_id) as connection:
            return await (await connection.execute(_READ, values)).fetchone()


def _events(rows: Iterable[tuple[Any, ...]]) -> tuple[NewsEvent, ...]:
    return tuple(
        NewsEvent(at_ns, name, impact, frozenset(currencies), frozenset(symbols))
        for at_ns, name, impact, currencies, symbols in rows
    )
