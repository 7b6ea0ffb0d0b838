-- What is due when, and what became of each due moment.

create table syncline.schedule (
    id uuid primary key default gen_random_uuid(),
    key text not null,
    name text not null,
    trigger text not null,
    cron text,
    zone text not null default 'UTC',
    every_seconds bigint,
    anchor timestamptz,
    target text not null,
    connection_id uuid references syncline.connection (id) on delete cascade,
    business_id uuid references syncline.business (id) on delete cascade,
    platform text,
    streams text[],
    kind text not null default 'incremental',
    priority smallint not null default 50,
    enabled boolean not null default true,
    next_at timestamptz,
    created_at timestamptz not null default syncline.now(),
    updated_at timestamptz not null default syncline.now(),
    constraint schedule_key_unique unique (key),
    constraint schedule_key_form check (key ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint schedule_name_not_empty check (length(name) between 1 and 200),
    constraint schedule_trigger_known check (trigger in ('cron', 'interval')),
    constraint schedule_trigger_whole check (
        (trigger = 'cron') = (cron is not null)
        and (trigger = 'interval') = (every_seconds is not null)
        and (trigger = 'interval') = (anchor is not null)),
    constraint schedule_every_positive check (every_seconds between 1 and 31622400),
    constraint schedule_target_whole check (
        target in ('connection', 'business', 'platform', 'everything')
        and (target = 'connection') = (connection_id is not null)
        and (target = 'business') = (business_id is not null)
        and (target = 'platform') = (platform is not null)),
    constraint schedule_streams_not_empty check (cardinality(streams) > 0),
    constraint schedule_kind_known check (kind in ('incremental', 'full')),
    constraint schedule_priority_range check (priority between 0 and 100),
    constraint schedule_disabled_has_no_next check (enabled or next_at is null)
);
-- The scheduler's only question: which schedules are due?
create index schedule_due on syncline.schedule (next_at) where next_at is not null;
create index schedule_by_connection on syncline.schedule (connection_id) where connection_id is not null;
create index schedule_by_business on syncline.schedule (business_id) where business_id is not null;
comment on table syncline.schedule is 'A trigger on a target.';
comment on column syncline.schedule.id is 'Identity.';
comment on column syncline.schedule.key is 'The user''s own name for it, accepted wherever an id is.';
comment on column syncline.schedule.name is 'Shown to people.';
comment on column syncline.schedule.trigger is 'cron or interval.';
comment on column syncline.schedule.cron is 'Five fields, six with seconds first, or @hourly and its kin; read in the zone.';
comment on column syncline.schedule.zone is 'IANA time zone of the cron fields.';
comment on column syncline.schedule.every_seconds is 'Length of the interval; due moments are anchor + n intervals.';
comment on column syncline.schedule.anchor is 'One due moment of the interval, from which all others are counted.';
comment on column syncline.schedule.target is 'What it syncs: a connection, a business, a platform or everything.';
comment on column syncline.schedule.connection_id is 'The connection, if that is the target.';
comment on column syncline.schedule.business_id is 'The business, if that is the target.';
comment on column syncline.schedule.platform is 'The platform, if that is the target.';
comment on column syncline.schedule.streams is 'Only these streams; null: those the connection has chosen.';
comment on column syncline.schedule.kind is 'incremental: from the stream''s state where it has one; full: from the start.';
comment on column syncline.schedule.priority is 'Priority of its runs; the smaller, the sooner.';
comment on column syncline.schedule.enabled is 'False: it has no next tick.';
comment on column syncline.schedule.next_at is 'Nominal instant of its next tick; null: never again, or disabled.';
comment on column syncline.schedule.created_at is 'When it was created.';
comment on column syncline.schedule.updated_at is 'When it was last changed.';

create table syncline.tick (
    id uuid primary key default gen_random_uuid(),
    schedule_id uuid not null references syncline.schedule (id) on delete cascade,
    nominal_at timestamptz not null,
    last_nominal_at timestamptz not null,
    moments bigint not null default 1,
    outcome text not null,
    reason text,
    batch_id uuid,
    decided_at timestamptz not null default syncline.now(),
    -- The promise "one row a tick", whatever number of schedulers runs.
    constraint tick_once unique (schedule_id, nominal_at),
    constraint tick_outcome_known check (outcome in ('fired', 'late', 'coalesced', 'skipped', 'missed')),
    constraint tick_gap_whole check (
        moments >= 1 and last_nominal_at >= nominal_at and (moments = 1) = (last_nominal_at = nominal_at)),
    constraint tick_batch_when_fired check ((outcome in ('fired', 'late')) = (batch_id is not null)),
    constraint tick_reason_when_not_fired check (outcome in ('fired', 'late') or reason is not null)
);
comment on table syncline.tick is 'One row a due moment of a schedule, or a gap of due moments that were passed over together.';
comment on column syncline.tick.id is 'Identity.';
comment on column syncline.tick.schedule_id is 'The schedule.';
comment on column syncline.tick.nominal_at is 'The due moment, as the schedule names it; of a gap, the first.';
comment on column syncline.tick.last_nominal_at is 'Of a gap, its last due moment; else nominal_at.';
comment on column syncline.tick.moments is 'How many due moments the row stands for.';
comment on column syncline.tick.outcome is 'fired, late (fired more than a minute after its time), coalesced, skipped or missed.';
comment on column syncline.tick.reason is 'Why it did not fire.';
comment on column syncline.tick.batch_id is 'The batch of runs it made.';
comment on column syncline.tick.decided_at is 'When a scheduler decided what becomes of it.';

create table syncline.batch (
    id uuid primary key default gen_random_uuid(),
    origin text not null,
    schedule_id uuid,
    nominal_at timestamptz,
    requested_by text,
    runs integer not null,
    left_out jsonb not null default '[]',
    created_at timestamptz not null default syncline.now(),
    constraint batch_origin_known check (origin in ('schedule', 'manual')),
    constraint batch_schedule_whole check (
        (origin = 'schedule') = (schedule_id is not null) and (origin = 'schedule') = (nominal_at is not null)),
    constraint batch_left_out_list check (jsonb_typeof(left_out) = 'array')
);
create index batch_by_schedule on syncline.batch (schedule_id, nominal_at) where schedule_id is not null;
comment on table syncline.batch is 'The runs of one tick or of one manual request.';
comment on column syncline.batch.id is 'Identity.';
comment on column syncline.batch.origin is 'schedule or manual.';
comment on column syncline.batch.schedule_id is 'The schedule whose tick made it. No foreign key: the batch outlives its schedule.';
comment on column syncline.batch.nominal_at is 'The due moment of that tick.';
comment on column syncline.batch.requested_by is 'Who asked for it: the name of an API token or of a signed-in user.';
comment on column syncline.batch.runs is 'How many runs were enqueued.';
comment on column syncline.batch.left_out is 'Connections of the target that got no run: [{"connection": key, "reason": text}].';
comment on column syncline.batch.created_at is 'When it was enqueued.';
