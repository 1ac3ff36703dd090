-- What the house notices about itself, and who its watchdog patient is. pre

-- One open row for each (kind, subject): a state that holds, or something that happened and that a person must look at.
-- `subject` names a gateway, a meter, `patient:<id>`, a push, or nothing (the house as a whole); `detail` is plain facts, never
-- a value or a name.
create table alarm (
    alarm_id     bigint generated always as identity primary key,
    kind         text        not null,
    subject      text        not null default '',
    detail       text        not null default '',
    raised_at    timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    times        bigint      not null default 1,
    cleared_at   timestamptz,
    cleared_by   text -- a user's login; null: the house saw that it is over
);
create unique index alarm_open on alarm (kind, subject) where cleared_at is null;

-- Since when there has been a hole in the numbers of this outbox; null while there is none.
alter table gateway_progress add column hole_since timestamptz;

-- A patient who is nobody: the readings of the house's own watchdog. Judged by the watchdog's rule alone, on no page, in no count.
alter table patient add column is_watchdog boolean not null default false;
create unique index patient_watchdog on patient (is_watchdog) where is_watchdog;
