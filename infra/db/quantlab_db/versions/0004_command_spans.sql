-- What one command did is found by its span of events, without a scan; accounts carry a name.
alter table inbox add column from_seq bigint, add column to_seq bigint;
alter table account add column name text check (length(name) between 1 and 100);
