-- What the door remembers of those who send too much, in another's name or in the words of a later build; and what it asked for again. pre

-- Of the message that brought the row: messages in another's name are counted, not their rows, and none twice.
alter table quarantine add column message_hash bytea;

-- A message of a newer version is opened again by a build that reads it: its own row goes, each of its readings has a fate.
alter table quarantine
    drop constraint quarantine_released_as_check,
    add constraint quarantine_released_as_check check (released_as in ('stored', 'repeated', 'replayed'));

-- A gateway's quarantine of one day (UTC). Up to a bound each row is kept; what comes beyond it is counted here, with the first
-- and the last as samples, and counts as quarantined in the accounts.
create table quarantine_day (
    gateway_id   text   not null,
    day          date   not null,
    kept         bigint not null default 0,
    beyond       bigint not null default 0,
    first_reason text,
    first_raw    bytea,
    first_at     timestamptz,
    last_reason  text,
    last_raw     bytea,
    last_at      timestamptz,
    primary key (gateway_id, day)
);

-- Messages beyond a gateway's pace: neither taken nor answered, so that an honest gateway sends them again; no part of `received`.
alter table gateway_account add column turned_away bigint not null default 0;

-- Readings that a gateway says were answered and that are not here (the database was set back): how many when they were last
-- asked for, how often that was asked in vain, and how many have been given up, because the gateway has not kept them so long.
alter table gateway_progress
    add column lost     bigint not null default 0,
    add column asked    int    not null default 0,
    add column given_up bigint not null default 0;
