-- Whose accounts are synced, and which.

create table syncline.business (
    id uuid primary key default gen_random_uuid(),
    key text not null,
    name text not null,
    created_at timestamptz not null default syncline.now(),
    updated_at timestamptz not null default syncline.now(),
    constraint business_key_unique unique (key),
    constraint business_key_form check (key ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint business_name_not_empty check (length(name) between 1 and 200)
);
comment on table syncline.business is 'A tenant: the customer whose accounts are synced.';
comment on column syncline.business.id is 'Identity.';
comment on column syncline.business.key is 'The user''s own name for it, accepted wherever an id is.';
comment on column syncline.business.name is 'Shown to people.';
comment on column syncline.business.created_at is 'When it was created.';
comment on column syncline.business.updated_at is 'When it was last changed.';

create table syncline.connection (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references syncline.business (id) on delete restrict,
    key text not null,
    name text not null,
    platform text not null,
    config jsonb not null default '{}',
    base_url text,
    credentials bytea,
    credentials_key_id text,
    credentials_set_at timestamptz,
    streams text[],
    enabled boolean not null default true,
    limits jsonb not null default '{}',
    created_at timestamptz not null default syncline.now(),
    updated_at timestamptz not null default syncline.now(),
    constraint connection_key_unique unique (key),
    constraint connection_key_form check (key ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint connection_name_not_empty check (length(name) between 1 and 200),
    constraint connection_config_object check (jsonb_typeof(config) = 'object'),
    constraint connection_limits_object check (jsonb_typeof(limits) = 'object'),
    constraint connection_streams_not_empty check (cardinality(streams) > 0),
    constraint connection_credentials_whole check (
        num_nulls(credentials, credentials_key_id, credentials_set_at) in (0, 3))
);
create index connection_by_business on syncline.connection (business_id);
create index connection_by_platform on syncline.connection (platform);
comment on table syncline.connection is 'One account of one business on one platform.';
comment on column syncline.connection.id is 'Identity.';
comment on column syncline.connection.business_id is 'The business it belongs to.';
comment on column syncline.connection.key is 'The user''s own name for it, accepted wherever an id is.';
comment on column syncline.connection.name is 'Shown to people.';
comment on column syncline.connection.platform is 'The connector that reads it: the stem of its manifest''s file name.';
comment on column syncline.connection.config is 'Settings that the manifest''s spec asks for, without the secret ones.';
comment on column syncline.connection.base_url is 'Stands in for the manifest''s url_base, for example a test server''s address.';
comment on column syncline.connection.credentials is
    'The secret settings, a JSON object under AES-256-GCM: nonce, then ciphertext with tag, bound to this row''s id.';
comment on column syncline.connection.credentials_key_id is 'Names the key that encrypted them, so that keys can be rotated.';
comment on column syncline.connection.credentials_set_at is 'When the secrets were last set.';
comment on column syncline.connection.streams is 'The chosen streams; null: all that the connector has.';
comment on column syncline.connection.enabled is 'False: nothing is enqueued for it.';
comment on column syncline.connection.limits is
    'Overrides of the platform''s budgets: {"budget name": {"limit": calls, "per_seconds": window}}.';
comment on column syncline.connection.created_at is 'When it was created.';
comment on column syncline.connection.updated_at is 'When it was last changed.';

create table syncline.stream_state (
    connection_id uuid not null references syncline.connection (id) on delete cascade,
    stream text not null,
    state jsonb not null,
    run_id uuid not null,
    updated_at timestamptz not null,
    primary key (connection_id, stream)
);
comment on table syncline.stream_state is
    'Where the next run of a stream starts, in the state form of the manifests'' language.';
comment on column syncline.stream_state.connection_id is 'The connection.';
comment on column syncline.stream_state.stream is 'The stream''s name in its manifest.';
comment on column syncline.stream_state.state is 'The stream''s state.';
comment on column syncline.stream_state.run_id is 'The run that wrote it.';
comment on column syncline.stream_state.updated_at is 'When it was written.';
