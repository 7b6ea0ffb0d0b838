-- A filter by several outcomes reads what went wrong in the order of time.
--
-- run_history_unsuccessful is ordered by outcome first, so a page of failed and partial runs came from the primary key, past all
-- that went well: in a month without a failure that is the whole month. Nothing has been released before this migration, so the index is built
-- in place.

create index run_history_unsuccessful_in_order on syncline.run_history (id) where outcome <> 'succeeded';
