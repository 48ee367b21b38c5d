-- Identity: users, sessions with their refresh tokens, API keys and mail tokens.
-- Tokens and keys are kept as SHA-256 digests, passwords as Argon2id, TOTP secrets sealed.

set local search_path = quantlab;

create table app_user (
  tenant_id text not null references tenant,
  user_id uuid not null,
  email text not null check (email = lower(email) and octet_length(email) <= 254),
  name text not null check (octet_length(name) <= 400),
  role text not null check (role in ('platform_admin', 'tenant_admin', 'risk_manager', 'trader', 'viewer')),
  status text not null check (status in ('invited', 'active', 'disabled')),
  password_hash text,
  email_verified boolean not null default false,
  totp_cipher bytea,
  totp_enabled boolean not null default false check (not totp_enabled or totp_cipher is not null),
  totp_last_step bigint not null default 0,
  created_ns bigint not null,
  primary key (tenant_id, user_id),
  unique (tenant_id, email),
  check (status <> 'active' or password_hash is not null)
);
create index app_user_created on app_user (tenant_id, created_ns, user_id);

-- A session is the family of the refresh tokens that descend from one login.
create table session (
  tenant_id text not null,
  session_id uuid not null,
  user_id uuid not null,
  browser boolean not null,
  created_ns bigint not null,
  expires_ns bigint not null,
  revoked_ns bigint,
  revoked_reason text check (revoked_reason in ('logout', 'reuse', 'reset', 'password', 'disabled')),
  primary key (tenant_id, session_id),
  foreign key (tenant_id, user_id) references app_user on delete cascade,
  check ((revoked_ns is null) = (revoked_reason is null))
);
create index session_of_user on session (tenant_id, user_id);

create table refresh_token (
  tenant_id text not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  session_id uuid not null,
  expires_ns bigint not null,
  used_ns bigint,
  primary key (tenant_id, token_hash),
  foreign key (tenant_id, session_id) references session on delete cascade
);
create index refresh_token_session on refresh_token (tenant_id, session_id);

create table api_key (
  tenant_id text not null references tenant,
  api_key_id uuid not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  name text not null check (octet_length(name) <= 400),
  role text not null check (role in ('tenant_admin', 'risk_manager', 'viewer')),
  scopes text[] not null,
  created_by text not null,
  created_ns bigint not null,
  expires_ns bigint,
  revoked_ns bigint,
  primary key (tenant_id, api_key_id)
);
create index api_key_created on api_key (tenant_id, created_ns, api_key_id);

create table mail_token (
  tenant_id text not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  kind text not null check (kind in ('invitation', 'verification', 'reset')),
  user_id uuid not null,
  expires_ns bigint not null,
  primary key (tenant_id, token_hash),
  foreign key (tenant_id, user_id) references app_user on delete cascade
);
create index mail_token_user on mail_token (tenant_id, user_id, kind);

do $$
declare name text;
begin
  foreach name in array array['app_user', 'session', 'refresh_token', 'api_key', 'mail_token']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
    execute format('grant select, insert on %I to quantlab_app', name);
  end loop;
end $$;
grant update (status, password_hash, email_verified, totp_cipher, totp_enabled, totp_last_step) on app_user to quantlab_app;
grant update (revoked_ns, revoked_reason), delete on session to quantlab_app;
grant update (used_ns), delete on refresh_token to quantlab_app;
grant update (revoked_ns) on api_key to quantlab_app;
grant delete on mail_token to quantlab_app;
