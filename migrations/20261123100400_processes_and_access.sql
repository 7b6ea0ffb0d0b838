-- Who takes part, who may ask, and how many calls a platform allows.

create table syncline.process (
    id uuid primary key,
    role text not null,
    name text not null,
    version text not null,
    slots integer,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    stopped_at timestamptz,
    rescued_at timestamptz,
    constraint process_role_known check (role in ('scheduler', 'worker', 'api'))
) with (fillfactor = 50);
comment on table syncline.process is 'Processes that take part. A row is a heartbeat: one for all attempts of a worker.';
comment on column syncline.process.id is 'New at each start, so that a restarted process is never mistaken for its predecessor.';
comment on column syncline.process.role is 'scheduler, worker or api.';
comment on column syncline.process.name is 'Host name and process id.';
comment on column syncline.process.version is 'Its release.';
comment on column syncline.process.slots is 'How many runs a worker executes at once.';
comment on column syncline.process.started_at is 'When it started.';
comment on column syncline.process.seen_at is 'Its last heartbeat, by the database''s clock.';
comment on column syncline.process.stopped_at is 'When it said goodbye; null: up, or silent.';
comment on column syncline.process.rescued_at is
    'When its runs were given to others, after silence or a stop. From then on its heartbeat is refused.';

create table syncline.budget (
    key text primary key,
    platform text not null,
    name text not null,
    call_limit integer not null,
    window_ms bigint not null,
    next_free_at timestamptz not null,
    paused_until timestamptz,
    paused_because text,
    granted bigint not null default 0,
    updated_at timestamptz not null,
    constraint budget_limit_positive check (call_limit >= 1),
    constraint budget_window_positive check (window_ms >= 1)
) with (fillfactor = 50);
comment on table syncline.budget is 'A platform''s call limit for one key, shared by all processes.';
comment on column syncline.budget.key is 'platform/budget name/scope, for example g2a/export/<client id>.';
comment on column syncline.budget.platform is 'The platform.';
comment on column syncline.budget.name is 'The budget''s name in the manifest.';
comment on column syncline.budget.call_limit is 'Calls allowed in any window.';
comment on column syncline.budget.window_ms is 'Length of the window in milliseconds.';
comment on column syncline.budget.next_free_at is 'Theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).';
comment on column syncline.budget.paused_until is 'No permits before this instant, whoever asks: the platform said so.';
comment on column syncline.budget.paused_because is 'What the platform said.';
comment on column syncline.budget.granted is 'Permits given so far.';
comment on column syncline.budget.updated_at is 'When a permit was last given or refused.';

-- Gives up to `want` permits, or says how long to wait for the first one.
--
-- The generic cell rate algorithm with burst b and spacing e lets at most b - 1 + ceil(W / e) permits into a half-open
-- window W. With b = max(1, L / 10) and e = W / (L - b + 1) that is L, never more; W is taken 5 % longer, for the time
-- that requests take to leave and to arrive. The clock is read after the row is
-- locked and never goes back behind what it last read, so a clock set back cannot grant a window twice.
create function syncline.take_permits(
    budget_key text, platform_name text, budget_name text, max_calls integer, per_ms bigint, want integer,
    out granted integer, out wait_ms bigint, out because text)
language plpgsql as $$
declare
    b syncline.budget;
    at timestamptz;
    burst integer := greatest(1, max_calls / 10);
    spacing interval := make_interval(secs => 1.05 * per_ms / 1000.0 / (max_calls - burst + 1));
    free_at timestamptz;
begin
    insert into syncline.budget (key, platform, name, call_limit, window_ms, next_free_at, updated_at)
    values (budget_key, platform_name, budget_name, max_calls, per_ms, clock_timestamp(), clock_timestamp())
    on conflict (key) do nothing;
    -- Waits for whoever holds this budget: grants of one key are strictly one after the other.
    select * into b from syncline.budget where key = budget_key for update;
    at := greatest(clock_timestamp(), b.updated_at);
    granted := 0;
    wait_ms := 0;
    free_at := greatest(b.next_free_at, at - spacing * (burst - 1));
    if b.paused_until > at then
        wait_ms := ceil(extract(epoch from b.paused_until - at) * 1000);
        because := b.paused_because;
    elsif free_at > at then
        wait_ms := ceil(extract(epoch from free_at - at) * 1000);
    else
        while granted < want and free_at <= at loop
            granted := granted + 1;
            free_at := free_at + spacing;
        end loop;
    end if;
    update syncline.budget set
        call_limit = max_calls, window_ms = per_ms, next_free_at = free_at, updated_at = at,
        granted = b.granted + take_permits.granted,
        paused_until = case when b.paused_until > at then b.paused_until end,
        paused_because = case when b.paused_until > at then b.paused_because end
    where key = budget_key;
end $$;
comment on function syncline.take_permits(text, text, text, integer, bigint, integer) is
    'Takes permits from a budget: how many were granted, else for how long to wait and why.';

create table syncline.user_account (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    password_hash text not null,
    role text not null,
    created_at timestamptz not null default syncline.now(),
    constraint user_account_name_unique unique (name),
    constraint user_account_role_known check (role in ('admin', 'operator', 'viewer'))
);
comment on table syncline.user_account is 'People who may sign in.';
comment on column syncline.user_account.id is 'Identity.';
comment on column syncline.user_account.name is 'What they sign in with.';
comment on column syncline.user_account.password_hash is 'Argon2id, in PHC string form.';
comment on column syncline.user_account.role is 'admin; operator: may start and change; viewer: may look.';
comment on column syncline.user_account.created_at is 'When it was created.';

create table syncline.api_token (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    role text not null,
    token_hash bytea not null,
    created_at timestamptz not null default syncline.now(),
    expires_at timestamptz,
    constraint api_token_name_unique unique (name),
    constraint api_token_hash_unique unique (token_hash),
    constraint api_token_role_known check (role in ('admin', 'operator', 'viewer'))
);
comment on table syncline.api_token is 'Programs that may call the API.';
comment on column syncline.api_token.id is 'Identity.';
comment on column syncline.api_token.name is 'Names it, also in what it did.';
comment on column syncline.api_token.role is 'As of a user.';
comment on column syncline.api_token.token_hash is 'SHA-256 of the token, which holds 256 random bits and so needs no slow hash.';
comment on column syncline.api_token.created_at is 'When it was made.';
comment on column syncline.api_token.expires_at is 'Until when it works; null: until it is deleted.';
