-- A tenant's calendar of releases, as it is now: complete until an instant. A decision records the
-- releases that its rules looked at, so what a calendar was before needs no keeping.
create table news_calendar (
  tenant_id text not null references tenant,
  version text not null check (version ~ '^[0-9a-f]{64}$'),
  until_ns bigint not null,
  put_by text not null,
  put_ns bigint not null,
  primary key (tenant_id)
);
create table news_release (
  tenant_id text not null references news_calendar,
  at_ns bigint not null,
  number integer not null,
  name text not null,
  impact text not null check (impact in ('high', 'medium', 'low')),
  currencies text[] not null,
  symbols text[] not null,
  primary key (tenant_id, at_ns, number)
);

do $$
declare name text;
begin
  foreach name in array array['news_calendar', 'news_release']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
  end loop;
end $$;
grant select, insert, update on news_calendar to quantlab_app;
grant select, insert, delete on news_release to quantlab_app;
