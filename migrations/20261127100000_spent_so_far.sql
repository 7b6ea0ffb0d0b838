-- What an attempt has spent is known while it lasts, and when its worker dies: each checkpoint writes it down.

-- Constant defaults: the table is not rewritten.
alter table syncline.run
    add column attempt_calls bigint not null default 0,
    add column attempt_points bigint not null default 0,
    add column attempt_waited_ms bigint not null default 0;
comment on column syncline.run.attempt_calls is
    'Of the attempt under way, by its last checkpoint: HTTP requests it sent. Of no meaning unless running.';
comment on column syncline.run.attempt_points is 'Likewise: points of budgets that its requests cost, the dearest budget of each.';
comment on column syncline.run.attempt_waited_ms is 'Likewise: milliseconds for which it waited for permits.';
