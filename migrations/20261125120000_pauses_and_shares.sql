-- Pauses are looked at by what they are about, and told as they stand; workers say what share of them a platform may hold.
--
-- Nothing has been released before this migration. The table of runs holds unfinished ones only, so the index is built in place.

-- Whoever looks for runs that no pause holds back any more hops from scope to scope, past all that still rests.
drop index syncline.run_paused;
create index run_paused on syncline.run (platform, business_id, connection_id) where wait_reason = 'pause';

alter table syncline.process add column share integer;
comment on column syncline.process.share is
    'How many of a worker''s slots one platform may hold while runs of others are ready.';

-- What a run waits for when something rests is told by what rests now: a pause may have a new note since, or be another one.
create or replace view syncline.runs as
    select
        r.id,
        case
            when r.state = 'running' then 'running'
            when r.state = 'queued' then 'queued'
            when r.wait_reason = 'backoff' then 'retrying'
            else 'waiting'
        end as status,
        r.batch_id, r.schedule_id, r.connection_id, r.business_id, r.platform, r.origin, r.requested_by,
        r.kind, r.streams, r.page, r.priority, r.attempt, r.failures,
        case when r.state = 'blocked' then 'overlap' else r.wait_reason end as waiting_for,
        case when r.wait_reason = 'pause'
             then coalesce(syncline.pause_note(r.platform, r.business_id, r.connection_id), r.wait_detail)
             else r.wait_detail
        end as wait_detail,
        case when r.state = 'waiting' and r.wait_reason not in ('pause', 'dependency') then r.due_at end as waiting_until,
        r.created_at, r.started_at, null::timestamptz as finished_at,
        r.checkpoint_sequence, r.checkpoint, r.progress, r.last_error,
        r.retry_of, null::uuid as retried_by, r.cancel_requested_at, r.cancel_requested_by as cancelled_by, r.cancel_note
    from syncline.run r
    union all
    select
        h.id, h.outcome,
        h.batch_id, h.schedule_id, h.connection_id, h.business_id, h.platform, h.origin, h.requested_by,
        h.kind, h.streams, h.page, h.priority, h.attempt, h.failures,
        null, null, null,
        h.created_at, h.started_at, h.finished_at,
        h.checkpoint_sequence, h.checkpoint, h.progress, h.last_error,
        h.retry_of, h.retried_by, null, h.cancelled_by, h.cancel_note
    from syncline.run_history h;
