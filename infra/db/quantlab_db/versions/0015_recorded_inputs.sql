-- What a command was decided on: the feed's clock, the newest tick of the market read, and what of
-- it was suspended or missing. decision orders the commands of an account as they were carried out:
-- drawn once a transaction, while the account is locked; commands of one transaction go by inbox_id.
create sequence decision_seq as bigint;
grant usage on sequence decision_seq to quantlab_app;
alter table inbox add column decision bigint, add column inputs json;

-- The inbox forgets commands when their keys need hold no more; what was decided stays here, so that
-- an account can be replayed from its opening. Only grows.
create table decided_command (
  tenant_id text not null,
  account_id uuid not null,
  decision bigint not null,
  inbox_id bigint not null,
  signal_id uuid not null,
  source_kind text not null,
  source_id text not null,
  command text not null,
  payload json not null,
  received_ns bigint not null,
  outcome text not null,
  reason text,
  result json,
  done_ns bigint not null,
  inputs json not null,
  primary key (tenant_id, account_id, decision, inbox_id)
);
alter table decided_command enable row level security;
alter table decided_command force row level security;
create policy tenant_rows on decided_command to quantlab_app
  using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, insert on decided_command to quantlab_app;
