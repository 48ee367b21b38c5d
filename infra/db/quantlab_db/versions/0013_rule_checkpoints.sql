-- What a checkpoint of the rules found, an entry an account: a row holds a page of accounts in columns,
-- so that a million of them are stored in a second. The newest checkpoints are kept.
create table rule_checkpoint (
  tenant_id text not null references tenant,
  checkpoint_ns bigint not null,
  page integer not null,
  judged_ns bigint not null,
  feed_ts_ns bigint not null,
  first_account uuid not null,
  last_account uuid not null,
  quotes jsonb not null,
  account_ids uuid[] not null,
  event_seqs bigint[] not null,
  states bigint[] not null,
  equities_minor bigint[] not null,
  high_waters_minor bigint[] not null,
  breach_below_minor bigint[] not null,
  broken bigint[] not null,
  primary key (tenant_id, checkpoint_ns, page)
);
-- Numbers of this kind hardly shrink, and shrinking them takes longer than writing them.
alter table rule_checkpoint alter account_ids set storage external, alter event_seqs set storage external,
  alter states set storage external, alter equities_minor set storage external,
  alter high_waters_minor set storage external, alter breach_below_minor set storage external,
  alter broken set storage external;

alter table rule_checkpoint enable row level security;
alter table rule_checkpoint force row level security;
create policy tenant_rows on rule_checkpoint to quantlab_app
  using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, insert, delete on rule_checkpoint to quantlab_app;

-- The same, a row an account. state: 0 judged, 1 equity unknown, 2 left to the account's writer, 3 day over.
create view rule_checkpoint_account with (security_invoker = true) as
  select c.tenant_id, c.checkpoint_ns, c.judged_ns, c.feed_ts_ns, c.first_account, c.last_account, a.*
  from rule_checkpoint c, unnest(c.account_ids, c.event_seqs, c.states, c.equities_minor,
    c.high_waters_minor, c.breach_below_minor, c.broken)
    a (account_id, event_seq, state, equity_minor, high_water_minor, breach_below_minor, broken);
grant select on rule_checkpoint_account to quantlab_app;
