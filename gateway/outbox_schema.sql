-- The outbox, version 2. A row of `reading` is never deleted, so seq stays dense and a repeat is known for ever; 30 days
-- after its receipt only the body goes.
create table life (
    epoch      text not null, -- random, drawn when this file was made: seq 1 of another file is another reading
    created_at text not null
) strict;

-- answered_at  rejected_reason
-- null         null             waits for the server (or, with `held`, for a clock)
-- at           null             confirmed
-- at           reason           the server has it in quarantine
-- null         reason           unsendable: refused here, the server has never seen it
create table reading (
    seq             integer primary key,
    reading_id      blob not null unique,
    body            blob,          -- the reading as it is sent, the same on every retry; null once purged
    kept_at         text not null,
    held            blob,          -- when the clock could not be believed: what is needed to correct the time
    answered_at     text,          -- the server's receipt, nothing else
    rejected_reason text,
    rewound_at      text           -- the server has lost it once and asked for it again
) strict;
create index reading_unconfirmed on reading (seq) where answered_at is null and rejected_reason is null;
create index reading_held on reading (seq) where held is not null;
create index reading_rejected on reading (seq) where rejected_reason is not null;
create index reading_purgeable on reading (answered_at) where answered_at is not null and body is not null;
create index reading_rewound on reading (seq)
    where rewound_at is not null and answered_at is null and rejected_reason is null;
create index reading_unsendable on reading (seq) where rejected_reason is not null and answered_at is null;

-- Frames that are no reading, with the reason. A meter that sends the same again only raises `times`.
create table quarantine (
    quarantine_id  integer primary key,
    reason         text not null,
    detail         text not null,
    meter_id       text not null,
    characteristic text not null,
    raw            blob not null,
    first_at       text not null,
    last_at        text not null,
    times          integer not null default 1,
    unique (meter_id, characteristic, reason, raw)
) strict;

-- What is remembered of a meter between two sessions.
create table meter (
    meter_id         text primary key,
    highest_sequence integer,      -- glucose: the newest record that a complete report has brought
    about            text not null default '{}', -- what it says of itself (0x180A), as JSON
    battery_percent  integer,
    last_read_at     text
) strict;

create table setting (
    name  text primary key,
    value text not null
) strict;
