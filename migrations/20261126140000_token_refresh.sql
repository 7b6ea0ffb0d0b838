-- Who refreshes a connection's tokens: with platforms that replace the refresh token at each refresh, two at once would lock each other out.
--
-- A row is a lease, not a lock: the refresh is a request to a platform, and no transaction stays open for that. What is stored is compared
-- with what was used, so a holder that outlives its lease does no harm here.

create table syncline.token_refresh (
    connection_id uuid primary key references syncline.connection (id) on delete cascade,
    holder uuid not null,
    until timestamptz not null
);
comment on table syncline.token_refresh is 'Refreshes of connections'' tokens that are under way.';
comment on column syncline.token_refresh.connection_id is 'Whose tokens are refreshed.';
comment on column syncline.token_refresh.holder is 'Who refreshes them: made up anew for each attempt.';
comment on column syncline.token_refresh.until is 'From then on somebody else may.';
