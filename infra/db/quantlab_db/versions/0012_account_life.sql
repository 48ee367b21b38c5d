-- The life of accounts: requests that two people decide, what was paid, what an account was at each
-- turn, and which accounts belong together.

alter table account add column client_reference text
  check (octet_length(client_reference) between 1 and 400);
create unique index account_client_reference on account (tenant_id, client_reference)
  where client_reference is not null;

alter table ledger_entry drop constraint ledger_entry_kind_check;
alter table ledger_entry add constraint ledger_entry_kind_check
  check (kind in ('deposit', 'realised', 'commission', 'payout', 'adjustment'));

-- Requested by one, decided by another, then carried out or refused by the account's writer. An
-- account has at most one that is open.
create table approval (
  tenant_id text not null,
  approval_id uuid not null,
  kind text not null check (kind in ('payout', 'override', 'reset')),
  account_id uuid not null,
  state text not null default 'pending'
    check (state in ('pending', 'approved', 'rejected', 'expired', 'executed', 'refused')),
  asked json not null,
  subject json not null,
  requested_by text not null,
  requester_id text not null,
  requested_ns bigint not null,
  expires_ns bigint not null check (expires_ns > requested_ns),
  decided_by text,
  decided_ns bigint,
  decision_reason text,
  ended_ns bigint,
  ended_reason text,
  event_seq bigint,
  primary key (tenant_id, approval_id),
  foreign key (tenant_id, account_id) references account,
  check ((decided_by is null) = (decided_ns is null)),
  check (decided_by is not null or state in ('pending', 'expired'))
);
create unique index approval_open on approval (tenant_id, account_id)
  where state in ('pending', 'approved');
create index approval_newest on approval (tenant_id, requested_ns, approval_id);

create table payout (
  tenant_id text not null,
  account_id uuid not null,
  approval_id uuid not null,
  event_seq bigint not null,
  date date not null,
  amount_minor bigint not null check (amount_minor > 0),
  trader_minor bigint not null check (trader_minor >= 0),
  firm_minor bigint not null check (firm_minor >= 0),
  split_ppm integer not null check (split_ppm between 1 and 1000000),
  paid_ns bigint not null,
  primary key (tenant_id, approval_id),
  check (amount_minor = trader_minor + firm_minor)
);
create index payout_account on payout (tenant_id, account_id, date);

create table account_snapshot (
  tenant_id text not null,
  account_id uuid not null,
  event_seq bigint not null,
  snapshot_id uuid not null,
  cause text not null,
  document json not null,
  digest text not null check (digest ~ '^[0-9a-f]{64}$'),
  at_ns bigint not null,
  primary key (tenant_id, account_id, event_seq)
);

create table account_link (
  tenant_id text not null,
  account_id uuid not null,
  group_id text not null check (group_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  primary key (tenant_id, account_id),
  foreign key (tenant_id, account_id) references account
);
create index account_link_group on account_link (tenant_id, group_id, account_id);

do $$
declare name text;
begin
  foreach name in array array['approval', 'payout', 'account_snapshot', 'account_link']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
  end loop;
end $$;
grant select, insert, update on approval to quantlab_app;
grant select, insert on payout, account_snapshot to quantlab_app;
grant select, insert, update, delete on account_link to quantlab_app;
