-- What platforms tell of a calendar's window no longer counts our own use twice, and a request that left before a host was probed does not
-- count as the probe. Both functions are as they were but for that.

-- Corrects a budget by what the platform told in an answer. Answers whether those who hold permits must know.
--
-- `sent_at`: when the request left, by this database's clock. `was_limited`: the platform refused. `asked_ms`: it wants no request for so
-- long. `remaining`, `told_limit`: points of its window, as it counts them; `used`: the part of its window that is used, 1 is all;
-- `resets_ms`: its window begins anew after so long. Null: it did not say.
--
-- A refusal without a wait pauses for the shortest window, at most ten seconds, twice as long each time it happens again; and what the
-- shortest window allows is halved, or lowered a little where it had just come near the ceiling (multiplicative decrease). Refusals of
-- requests that left before that do it no second time. A refusal with a wait only lowers it if it is not the first within three windows.
create or replace function syncline.correct_budget(
    budget_key text, sent_at bigint, was_limited boolean, asked_ms bigint, reason text,
    remaining bigint, told_points bigint, used double precision, resets_ms bigint)
returns boolean language plpgsql as $$
declare
    at bigint;
    stored syncline.budget;
    shortest syncline.budget_window;
    spoken_of syncline.budget_window;
    ours bigint;
    theirs bigint;
    now_allowed bigint;
    pause_ms bigint;
    must_know boolean := false;
    is_repeated boolean;
begin
    select * into stored from syncline.budget b where b.key = budget_key for update;
    if not found then
        return false;
    end if;
    at := greatest(syncline.epoch_ms(syncline.now()), syncline.epoch_ms(stored.updated_at));
    -- No platform means more than a year.
    pause_ms := case when asked_ms > 31536000000 then 31536000000 else asked_ms end;

    if was_limited then
        select * into shortest from syncline.budget_window w
        where w.key = budget_key and w.kind in ('rolling', 'fixed') order by w.per_ms limit 1;
        is_repeated := stored.limited_at is not null
            and at < syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + 3 * coalesce(shortest.per_ms, 10000);
        -- Requests that were under way when another one was refused say nothing new.
        if stored.limited_at is null or sent_at > syncline.epoch_ms(stored.limited_at) then
            -- In a row: nearly nothing was sent since the last pause.
            stored.limited_in_a_row := case
                when at <= syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + coalesce(shortest.per_ms, 10000)
                then stored.limited_in_a_row + 1 else 1 end;
            if pause_ms is null then
                pause_ms := least(
                    least(greatest(coalesce(shortest.per_ms, 10000), 1000), 10000) * 2 ^ least(stored.limited_in_a_row - 1, 12),
                    greatest(coalesce((select max(w.per_ms) from syncline.budget_window w where w.key = budget_key), 0), 60000),
                    3600000)::bigint;
            end if;
            if shortest.key is not null and (asked_ms is null or is_repeated) then
                now_allowed := syncline.allowed_points(
                    shortest.points_limit, shortest.told_limit, shortest.eased_to, shortest.ceiling, shortest.eased_at, shortest.per_ms, at);
                -- What was sent seems to be too much; if that is hardly anything, half of what was allowed.
                select least(now_allowed, greatest(1, now_allowed / 2, coalesce(sum(s.points), 0))) into ours
                from unnest(shortest.slots, shortest.points) as s (slot, points)
                where syncline.counts_until(shortest.kind, shortest.per_ms, shortest.guard_ms, shortest.zone, shortest.resets_at,
                                            (s.slot + 1) * shortest.slot_ms) > at;
                update syncline.budget_window w set
                    eased_at = at,
                    ceiling = greatest(1, floor(ours * 0.95)),
                    eased_to = greatest(1, floor(ours * case when ours between w.ceiling * 0.9 and w.ceiling * 1.1 then 0.85 else 0.5 end))
                where w.key = budget_key and w.word = shortest.word;
            end if;
            update syncline.budget b set limited_at = to_timestamp(at / 1000.0), limited_in_a_row = stored.limited_in_a_row
            where b.key = budget_key;
            must_know := true;
        end if;
        update syncline.budget b set limited = b.limited + 1 where b.key = budget_key;
    end if;

    if pause_ms > 0 and (stored.paused_until is null or at + pause_ms > syncline.epoch_ms(stored.paused_until)) then
        update syncline.budget b set paused_until = to_timestamp((at + pause_ms) / 1000.0), paused_because = reason
        where b.key = budget_key;
        must_know := true;
    end if;

    if remaining is not null or used is not null or told_points is not null then
        -- The window with the limit that was told; else one that the platform resets; else the longest.
        select * into spoken_of from syncline.budget_window w
        where w.key = budget_key and w.kind <> 'concurrent'
        order by (w.points_limit is not distinct from told_points) desc, (w.kind = 'fixed') desc, w.per_ms desc limit 1;
        if found and sent_at >= spoken_of.told_at then
            if told_points is not null then
                must_know := must_know or told_points < coalesce(spoken_of.told_limit, spoken_of.points_limit);
                spoken_of.told_limit := case when told_points < spoken_of.points_limit then told_points end;
            end if;
            if spoken_of.kind = 'fixed' and resets_ms between 1 and spoken_of.per_ms + spoken_of.guard_ms then
                -- Platforms that tell whole seconds tell the same reset a little differently each time: the latest is safe.
                spoken_of.resets_at := case when abs(at + resets_ms - spoken_of.resets_at) < spoken_of.per_ms / 2
                    then greatest(at + resets_ms, spoken_of.resets_at) else at + resets_ms end;
            end if;
            -- What is not ours of what is no longer left: no more is sent than the platform has left, whatever it allows in all.
            theirs := least(spoken_of.points_limit, coalesce(spoken_of.told_limit, spoken_of.points_limit))
                - coalesce(remaining, floor(case when used < 1 then 1 - used when used >= 1 then 0 end * coalesce(told_points, spoken_of.told_limit, spoken_of.points_limit) + 1e-6)::bigint);
            select coalesce(sum(s.points), 0) into ours
            from unnest(spoken_of.slots, spoken_of.points) as s (slot, points)
            where syncline.counts_until(spoken_of.kind, spoken_of.per_ms, spoken_of.guard_ms, spoken_of.zone, spoken_of.resets_at,
                                        (s.slot + 1) * spoken_of.slot_ms) > at
              -- What may have left after this request was not in the platform's count. Of a calendar's charges it is not known.
              and (s.slot * spoken_of.slot_ms <= sent_at or spoken_of.kind in ('day', 'month'));
            theirs := greatest(0, coalesce(theirs, 0) - ours);
            must_know := must_know
                or theirs > case when spoken_of.outside_until > at then spoken_of.outside else 0 end + spoken_of.points_limit / 20;
            -- Nobody tells when the use of others has passed: what it told is believed until the reset, or for a tenth of the window; for all
            -- of it where nothing is left.
            update syncline.budget_window w set
                outside = theirs, told_at = sent_at, told_limit = spoken_of.told_limit, resets_at = spoken_of.resets_at,
                outside_until = at + case when resets_ms > 0 then least(resets_ms, w.per_ms) when used >= 1 or remaining = 0 then w.per_ms
                    else greatest(1, w.per_ms / 10) end
            where w.key = budget_key and w.word = spoken_of.word;
        end if;
    end if;

    if must_know then
        update syncline.budget b set corrected_at = syncline.now() where b.key = budget_key;
    end if;
    return must_know;
end $$;
comment on function syncline.correct_budget(text, bigint, boolean, bigint, text, bigint, bigint, double precision, bigint) is
    'Corrects a budget by what the platform told in an answer; answers whether those who hold permits must know.';

-- The parameter that is new has a default: processes of the release before go on calling it with three.
drop function syncline.note_failure(text, text, text);

-- Notes that a host did not answer, or that its server failed. At the fifth failure in a row nothing is sent to it for ten seconds; then one
-- request at a time, until one succeeds. Each failure of such a probe doubles the time, up to five minutes. Failures that are a minute
-- apart are not in a row. `sent_at`: when the request left, by this database's clock; null: not known. Answers whether other processes must know.
create function syncline.note_failure(circuit_key text, platform_name text, reason text, sent_at bigint default null)
returns boolean language plpgsql as $$
declare
    stored syncline.circuit;
    opens boolean;
begin
    insert into syncline.circuit (key, platform, failures, because, changed_at, updated_at)
    values (circuit_key, platform_name, 1, reason, syncline.now(), syncline.now())
    on conflict (key) do nothing;
    if found then
        return true;
    end if;
    select * into stored from syncline.circuit c where c.key = circuit_key for update;
    if not found then
        return false;
    end if;
    if stored.open_until is null and stored.updated_at < syncline.now() - interval '1 minute' then
        stored.failures := 0;
    end if;
    -- While it is open, only the answer to a probe counts: others had been sent before.
    opens := case when stored.open_until is null then stored.failures + 1 >= 5
        else stored.probing_until is not null and coalesce(sent_at >= syncline.epoch_ms(stored.changed_at), true) end;
    update syncline.circuit c set
        failures = stored.failures + 1,
        because = reason,
        times_open = c.times_open + opens::int,
        open_until = case when opens
            then syncline.now() + make_interval(secs => least(300, 10 * 2 ^ least(c.times_open, 6))) else c.open_until end,
        probing_until = case when opens then null else c.probing_until end,
        changed_at = case when opens then syncline.now() else c.changed_at end,
        updated_at = syncline.now()
    where c.key = circuit_key;
    return opens;
end $$;
comment on function syncline.note_failure(text, text, text, bigint) is 'Notes that a host failed; answers whether other processes must know.';
