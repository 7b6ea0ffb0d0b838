-- Advice on a schedule's timing looks at runs since it has been what it is.

alter table syncline.schedule add column timed_at timestamptz not null default syncline.now();
comment on column syncline.schedule.timed_at is
    'Since when its trigger, target, streams, kind and spread are what they are; advice looks at no run from before.';
