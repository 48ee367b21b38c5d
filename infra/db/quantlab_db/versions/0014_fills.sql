-- Displayed sizes of quotes. 0: the source gives none.

set local search_path = quantlab;

alter table tick
  add column bid_size_steps bigint not null default 0 check (bid_size_steps >= 0),
  add column ask_size_steps bigint not null default 0 check (ask_size_steps >= 0);
alter table fill
  add column bid_size_steps bigint not null default 0,
  add column ask_size_steps bigint not null default 0;
