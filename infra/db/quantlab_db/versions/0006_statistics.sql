-- Tables that only grow: statistics and vacuum as they double, not at every tenth more, which on a
-- busy day is every few seconds.
do $$
declare name text;
begin
  foreach name in array array['event', 'audit_log', 'orders', 'fill', 'ledger_entry', 'violation', 'inbox']
  loop
    execute format('alter table %I set (autovacuum_analyze_threshold = 2000, autovacuum_analyze_scale_factor = 1.0, '
      'autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 1.0)', name);
  end loop;
end $$;

-- Their dead rows are passed over by the indexes' own hints; a vacuum every few seconds is dearer.
alter table inbox set (autovacuum_vacuum_threshold = 100000);
alter table outbox set (autovacuum_vacuum_threshold = 100000);
