-- The schemas, the clock and run ids.
--
-- Every statement that compares or stores "now" reads syncline.now(), so that a test can replace the clock of its
-- database by replacing one function. It is the transaction's time: all rows of one transaction agree.

create schema if not exists syncline;
comment on schema syncline is 'Control tables of Syncline: what to sync, when, and what became of it.';

create schema if not exists synced;
comment on schema synced is 'Destination tables: one a stream, written by the workers.';

create function syncline.now() returns timestamptz
language sql stable parallel safe
return pg_catalog.now();
comment on function syncline.now() is 'The database''s clock, as Syncline reads it: the start of the transaction.';

-- RFC 9562, section 5.7: 48 bits of Unix milliseconds, then version and random bits. Ids made by the database order by
-- its clock, whatever the clocks of the workers say; the history is partitioned by them.
create function syncline.new_run_id() returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(extract(epoch from syncline.now()) * 1000)::bigint) from 3)
            from 1 for 6),
        52, 1), 53, 1),
    'hex')::uuid;
comment on function syncline.new_run_id() is 'A UUID version 7 of the database''s clock.';

create function syncline.run_id_floor(at timestamptz) returns uuid
language sql immutable strict parallel safe
return encode(
    overlay(
        '\x00000000000000000000000000000000'::bytea
        placing substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3)
        from 1 for 6),
    'hex')::uuid;
comment on function syncline.run_id_floor(timestamptz) is
    'The smallest run id that an instant can have: bounds of partitions, and of time filters on ids.';
