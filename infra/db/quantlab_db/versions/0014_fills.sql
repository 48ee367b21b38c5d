-- Displayed sizes of quotes (0: the source gives none), and the model that each fill followed.

set local search_path = quantlab;

alter table tick
  add column bid_size_steps bigint not null default 0 check (bid_size_steps >= 0),
  add column ask_size_steps bigint not null default 0 check (ask_size_steps >= 0);

-- fill_model is the SHA-256 of the model's document; fills of before had none.
alter table fill
  add column bid_size_steps bigint not null default 0,
  add column ask_size_steps bigint not null default 0,
  add column fill_model text,
  add column fill_seed bigint;
