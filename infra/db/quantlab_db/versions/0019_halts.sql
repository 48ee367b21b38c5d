-- Instruments that a tenant has halted, and had: a replay needs to know when nothing could trade.
create table instrument_halt (
  tenant_id text not null references tenant,
  halt_id uuid not null,
  symbol text not null,
  reason text not null,
  halted_by text not null,
  halted_ns bigint not null,
  resumed_by text,
  resumed_ns bigint check (resumed_ns >= halted_ns),
  resumed_reason text,
  primary key (tenant_id, halt_id),
  check ((resumed_by is null) = (resumed_ns is null)),
  check ((resumed_by is null) = (resumed_reason is null))
);
create unique index instrument_halt_open on instrument_halt (tenant_id, symbol)
  where resumed_ns is null;
create index instrument_halt_newest on instrument_halt (tenant_id, halted_ns, halt_id);

alter table instrument_halt enable row level security;
alter table instrument_halt force row level security;
create policy tenant_rows on instrument_halt to quantlab_app
  using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, insert on instrument_halt to quantlab_app;
grant update (resumed_by, resumed_ns, resumed_reason) on instrument_halt to quantlab_app;
