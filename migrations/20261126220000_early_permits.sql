-- Permits that begin a little later: who comes shortly before there is room gets them at once, each from when there is room for it. Until now
-- the question was asked when there was room already, for all that were to be used one after the other: it lay idle for so long.
-- The function is as it was but for that.

-- The parameter that is new has a default: processes of the release before go on calling it without.
drop function syncline.take_permits(
    text[], bigint[], integer[], text[], text[], bigint[], bigint, bigint, bigint, text, uuid, uuid, integer, boolean, bigint,
    text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[]);

-- Settles what became of earlier permits, and takes new ones, for all windows of several budgets at once: of all, or of none.
--
-- Rows are locked in the order of their keys, so two takers cannot wait for each other. The clock is that of the statement's start: it
-- is never later than the moment at which a budget was locked, so a wait for the lock only makes the count stricter; and never earlier
-- than what the budget has seen, so that a clock set back gives no window twice.
--
-- `keys`, `weights`, `reserves`: the budgets, each once, what one request costs each, and how many percent of what their windows allow are
-- kept for runs that a person started. `window_keys`, `window_words`, `window_limits`: all their windows. `asker`, `business`, `share`,
-- `by_hand`: who asks, for whom, how much of a contended budget that business gets in relation to others, and whether a person started it.
-- Waits up to `patience_ms` are waited out by the asker itself.
--
-- `settled_*`: charges of earlier permits, as they were made, with the instant at which their requests left and what they cost; without
-- an instant nothing was sent, and they are taken away. `settled_held`: until when a request is still under way, if it is. Without
-- `settled_at` only that changes.
--
-- While others wait, points are kept for those whose turn comes earlier. Who is refused learns when his own turn has room, and keeps
-- his place until shortly after that.
--
-- `early_ms`: the asker takes permits that begin within this time, and sends nothing before they do.
--
-- Answers how many permits were granted, after how many milliseconds which of them begin, and the instant at which those are charged that
-- begin at once, others so much later: no request may leave after it. Otherwise for how long to wait, and for which budget. `undefined`:
-- budgets with windows that are not there yet; then nothing was granted.
create function syncline.take_permits(
    keys text[], weights bigint[], reserves integer[], window_keys text[], window_words text[], window_limits bigint[],
    want bigint, lease_ms bigint, hold_ms bigint, circuit_key text,
    asker uuid, business uuid, share integer, by_hand boolean, patience_ms bigint,
    settled_keys text[], settled_at bigint[], settled_until bigint[], settled_points bigint[], settled_sent bigint[],
    settled_held bigint[], settled_cost bigint[], early_ms bigint default 0,
    out granted bigint, out begins_ms bigint[], out beginning bigint[], out charged_at bigint, out charged_until bigint,
    out wait_ms bigint, out refused_by text, out because text, out undefined text[])
language plpgsql as $$
declare
    at bigint := syncline.epoch_ms(syncline.now());
    budget syncline.budget;
    paused syncline.budget;
    breaker syncline.circuit;
    contended_until timestamptz;
    is_contended boolean;
    -- Of each budget: points that are kept for those whose turn is before the asker's, where the asker stands, and until when they are.
    aheads bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    -- Of them and of those whose time has not come yet.
    queues bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    starts bigint[];
    places_end bigint[];
    place record;
    -- The windows as they will be stored; of each the number of its budget, what it allows the asker (null: it was not asked for), and what of
    -- that is kept for others.
    stored record;
    w syncline.budget_window;
    windows syncline.budget_window[] := '{}';
    numbers integer[] := '{}';
    allowed bigint[] := '{}';
    kept bigint[] := '{}';
    number integer;
    asked integer := 0;
    left_over bigint;
    reserve bigint;
    ahead bigint;
    room bigint := want;
    most bigint;
    batch bigint;
    kept_until bigint;
begin
    granted := 0;
    begins_ms := '{}';
    beginning := '{}';
    for budget in select * from syncline.budget b where b.key = any (keys || settled_keys) order by b.key for update loop
        at := greatest(at, syncline.epoch_ms(budget.updated_at));
        if budget.key = any (keys) then
            contended_until := greatest(contended_until, budget.contended_until);
            if budget.paused_until > coalesce(paused.paused_until, '-infinity') then
                paused := budget;
            end if;
        end if;
    end loop;
    is_contended := want > 0 and coalesce(syncline.epoch_ms(contended_until) > at, false);
    if is_contended then
        for number in 1 .. cardinality(keys) loop
            place := syncline.place_of(keys[number], asker, business, at);
            starts[number] := place.start_at;
            -- Before this one's turn each other business gets what it asked for, or as much as it is behind, if that is more.
            select coalesce(sum(greatest(t.points, t.behind)), 0), coalesce(sum(greatest(t.points, t.behind)) filter (where t.is_due), 0),
                   max(t.expires_at)
            into ahead, left_over, kept_until
            from (
                select sum(o.points) as points, max(o.expires_at) as expires_at,
                       -- Who was told to come later gets what is free then: what is free before would only lie idle.
                       bool_or(o.expires_at - case when o.waiter = o.business_id then 3000 else 250 end <= at + 20) as is_due,
                       max(case when o.business_id <> business then (place.start_at - o.start_at) * o.share / 1000 else 0 end) as behind
                from syncline.budget_waiter o
                where o.key = keys[number] and o.waiter not in (asker, business) and o.expires_at > at
                  and (o.start_at, o.waiter) < (place.start_at, place.waiter)
                group by o.business_id) t;
            aheads[number] := left_over;
            queues[number] := ahead;
            places_end[number] := kept_until;
        end loop;
    end if;

    -- What is settled, and how much room that leaves.
    for stored in
        select t as of_table, n.points_limit as asked_limit
        from syncline.budget_window t
        left join unnest(window_keys, window_words, window_limits) as n (key, word, points_limit)
            on n.key = t.key and n.word = t.word
        where t.key = any (keys || settled_keys)
    loop
        w := stored.of_table;
        for number in 1 .. cardinality(settled_keys) loop
            if settled_keys[number] = w.key then
                w := syncline.with_charge(w, settled_at[number], settled_until[number], -settled_points[number]);
                w := syncline.with_charge(w, settled_sent[number], settled_held[number], settled_cost[number]);
            end if;
        end loop;
        w := syncline.without_past(w, at);
        number := array_position(keys, w.key);
        left_over := null;
        if stored.asked_limit is not null then
            asked := asked + 1;
            w.points_limit := stored.asked_limit;
            left_over := syncline.allowed_points(
                w.points_limit, w.told_limit, w.eased_to, w.ceiling, w.eased_at, w.per_ms, at);
            -- A person's run has all of it, and is so much ahead of its turn.
            reserve := least(left_over * reserves[number] / 100, greatest(0, left_over - weights[number]));
            ahead := greatest(0, aheads[number] - case when by_hand then reserve else 0 end);
            left_over := left_over - case when by_hand then 0 else reserve end;
            left_over := greatest(weights[number], left_over);
        end if;
        windows := windows || w;
        numbers := numbers || number;
        allowed := allowed || left_over;
        kept := kept || greatest(0, queues[number] - case when by_hand then reserve else 0 end);
        if stored.asked_limit is not null then
            left_over := left_over - ahead - case when w.outside_until > at then w.outside else 0 end;
            for slot in 1 .. cardinality(w.points) loop
                left_over := left_over - w.points[slot];
            end loop;
            room := least(room, greatest(0, left_over) / weights[number]);
        end if;
    end loop;

    if want > 0 then
        select * into breaker from syncline.circuit c where c.key = circuit_key and c.open_until is not null for update;
    end if;
    if want < 1 then
        null;
    elsif asked < cardinality(window_keys) then
        undefined := array(
            select distinct k.key from unnest(window_keys, window_words) as k (key, word)
            where not exists (select from syncline.budget_window t where t.key = k.key and t.word = k.word offset 0));
    elsif syncline.epoch_ms(greatest(breaker.open_until, breaker.probing_until)) > at then
        wait_ms := syncline.epoch_ms(greatest(breaker.open_until, breaker.probing_until)) - at;
        refused_by := breaker.key;
        because := breaker.because;
    elsif syncline.epoch_ms(paused.paused_until) > at then
        wait_ms := syncline.epoch_ms(paused.paused_until) - at;
        refused_by := paused.key;
        because := paused.paused_because;
    else
        -- A host that may not answer yet gets one request, to see.
        most := case when breaker.key is null then want else 1 end;
        room := least(room, most);
        if room > 0 then
            begins_ms := array[0];
            beginning := array[room];
        end if;
        if room < most and early_ms > 0 then
            -- Those that begin later: each as soon as the windows, as they will count then, have room for it and all before it.
            select begins_ms || coalesce(array_agg(p.moment - at order by p.moment), '{}'),
                   beginning || coalesce(array_agg(p.more order by p.moment), '{}')
            into begins_ms, beginning
            from (
                select m.moment, least(most, r.gives) - greatest(
                           room, max(least(most, r.gives)) over (order by m.moment rows between unbounded preceding and 1 preceding)) as more
                from (
                    select distinct f.free_at as moment
                    from unnest(windows) with ordinality as l
                    cross join lateral (
                        select syncline.counts_until(
                            l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at, (s.slot + 1) * l.slot_ms) as free_at
                        from unnest(l.slots) as s (slot)
                        union all
                        select l.outside_until) f
                    where allowed[l.ordinality] is not null and f.free_at > at and f.free_at <= at + early_ms) m
                cross join lateral (
                    select floor(min((allowed[l.ordinality] - kept[l.ordinality] - u.used) / weights[numbers[l.ordinality]]))::bigint as gives
                    from unnest(windows) with ordinality as l
                    cross join lateral (
                        select coalesce(sum(s.points), 0)
                            + case when l.outside_until > m.moment then l.outside else 0 end as used
                        from unnest(l.slots, l.points) as s (slot, points)
                        where syncline.counts_until(
                            l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at, (s.slot + 1) * l.slot_ms) > m.moment) u
                    where allowed[l.ordinality] is not null) r) p
            where p.more > 0;
        end if;
        granted := (select coalesce(sum(b.permits), 0) from unnest(beginning) as b (permits));
    end if;
    if granted > 0 then
        charged_at := at + lease_ms;
        charged_until := charged_at + hold_ms;
    elsif most > 0 then
        -- From the newest charge to the oldest: the one with which the sum leaves no room for those ahead and the asker is the one to wait for;
        -- the asker's are a batch, about a tenth of the window, unless each may begin when there is room for it. Who needs more than the
        -- whole window gives waits for as many windows.
        select greatest(1, max(f.free_at) - at), (array_agg(f.key order by f.free_at desc))[1], (array_agg(f.batch order by f.free_at desc))[1]
        into wait_ms, refused_by, batch
        from (
            select l.key, b.batch,
                   case
                       -- Nobody tells when an answer comes: look again soon.
                       when l.kind = 'concurrent' then least(at + 50, u.last_at)
                       -- There is room, but it is kept.
                       when g.gives - u.used >= g.weight then least(coalesce(u.room_at, g.kept_until), g.kept_until)
                       else coalesce(u.room_at, at + 1)
                           + ceil(greatest(0, g.ahead + g.weight - g.gives)::numeric / g.gives * (l.per_ms + l.guard_ms))::bigint
                   end as free_at
            from unnest(windows) with ordinality as l
            cross join lateral (
                select allowed[l.ordinality] as gives, kept[l.ordinality] as ahead, weights[numbers[l.ordinality]] as weight,
                       places_end[numbers[l.ordinality]] as kept_until) g
            cross join lateral (select g.weight * least(want, greatest(1, least(2, g.gives / 3 / g.weight), g.gives / 10 / g.weight)) as batch) b
            cross join lateral (
                select coalesce(sum(c.points), 0) as used, max(c.free_at) as last_at,
                       max(c.free_at) filter (where c.up_to_here > g.gives - g.ahead - case when early_ms > 0 then g.weight else b.batch end) as room_at
                from (
                    select a.free_at, a.points, sum(a.points) over (order by a.free_at desc) as up_to_here
                    from (
                        -- What is charged to a time still to come is the end of a lease, and will be moved back before it is free: it is taken
                        -- to leave now, else those who wait come too late.
                        select syncline.counts_until(
                                   l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at,
                                   (case when l.kind in ('rolling', 'fixed') then least(s.slot, at / l.slot_ms) else s.slot end + 1) * l.slot_ms
                               ) as free_at,
                               s.points
                        from unnest(l.slots, l.points) as s (slot, points)
                        union all
                        select l.outside_until, l.outside where l.outside_until > at) a) c) u
            where g.gives - g.ahead - u.used < g.weight) f;
    end if;

    if granted > 0 or cardinality(settled_keys) > 0 then
        for number in 1 .. cardinality(windows) loop
            w := windows[number];
            -- Of budgets for which permits are only settled, none are charged.
            for place in select * from unnest(begins_ms, beginning) as b (ms, permits) where numbers[number] is not null loop
                w := syncline.with_charge(
                    w, charged_at + place.ms, charged_until + place.ms, place.permits * weights[numbers[number]]);
            end loop;
            update syncline.budget_window t set slots = w.slots, points = w.points, points_limit = w.points_limit
            where t.key = w.key and t.word = w.word;
        end loop;
    end if;

    if refused_by is not null then
        kept_until := at + wait_ms + case when wait_ms > patience_ms then 3000 else 250 end;
        update syncline.budget b set refused = b.refused + 1, updated_at = to_timestamp(at / 1000.0),
            contended_until = case when b.key = refused_by and because is null
                then greatest(b.contended_until, to_timestamp(kept_until / 1000.0)) else b.contended_until end,
            -- While nobody waits, nobody's use is noted: when somebody does again, all begin at the same place.
            virtual_time = case when b.key = refused_by and because is null and not is_contended
                then greatest(b.virtual_time, (select max(m.finish_at) from syncline.budget_waiter m where m.key = b.key))
                else b.virtual_time end
        where b.key = any (keys);
    end if;
    if refused_by is not null and because is null then
        -- Longer waits are waited without a process: whichever claims a run of the business then has the place. Nobody has two.
        place := syncline.place_of(refused_by, asker, business, at);
        delete from syncline.budget_waiter m
        where m.key = refused_by
          and (m.waiter = asker and asker <> business
               or m.expires_at < at - 60000 - (select max(t.per_ms) from syncline.budget_window t where t.key = refused_by));
        update syncline.budget_waiter m set start_at = null, points = 0 where m.key = refused_by and m.waiter = business;
        insert into syncline.budget_waiter as m (key, waiter, business_id, start_at, points, share, expires_at)
        values (refused_by, case when wait_ms > patience_ms then business else asker end, business, place.start_at, batch, take_permits.share, kept_until)
        on conflict (key, waiter) do update set
            start_at = excluded.start_at, points = excluded.points, share = excluded.share, expires_at = excluded.expires_at;
    end if;

    if granted > 0 then
        update syncline.budget b set granted = b.granted + take_permits.granted, updated_at = to_timestamp(at / 1000.0),
            virtual_time = greatest(b.virtual_time, starts[array_position(keys, b.key)])
        where b.key = any (keys);
    end if;
    if granted > 0 and breaker.key is not null then
        update syncline.circuit c set probing_until = to_timestamp((charged_until + begins_ms[1]) / 1000.0), changed_at = syncline.now()
        where c.key = breaker.key;
    end if;
    if granted > 0 and is_contended then
        -- What a business got is kept for as long as the windows remember it. While others wait, it is taken to come again as soon as it has
        -- used its permits: else those who ask more often would share a burst among themselves.
        delete from syncline.budget_waiter m where m.key = any (keys) and m.waiter = asker and asker <> business;
        insert into syncline.budget_waiter as m (key, waiter, business_id, start_at, finish_at, share, expires_at)
        select b.key, business, business, f.finish_at, f.finish_at, take_permits.share, charged_at + begins_ms[cardinality(begins_ms)] + 50
        from syncline.budget b join unnest(keys, weights, starts) as k (key, weight, start_at) on k.key = b.key
        cross join lateral (select k.start_at + take_permits.granted * k.weight * 1000 / take_permits.share as finish_at) f
        on conflict (key, waiter) do update set
            start_at = excluded.start_at, points = 0, finish_at = excluded.finish_at, share = excluded.share, expires_at = excluded.expires_at;
    end if;
end $$;
comment on function syncline.take_permits(
    text[], bigint[], integer[], text[], text[], bigint[], bigint, bigint, bigint, text, uuid, uuid, integer, boolean, bigint,
    text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint) is
    'Settles earlier permits and takes new ones: how many were granted and when they begin, else for how long to wait and why.';
