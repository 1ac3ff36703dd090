-- What the door needs: repeats, raw bytes, quarantine, the accounting, and what is due to be judged. pre

-- Repeats are decided here alone; the hypertable's key must hold the time, which may be corrected between two sendings.
create table reading_seen (
    reading_id   uuid primary key,
    content_hash bytea       not null,
    gateway_id   text        not null,
    seen_at      timestamptz not null default now()
);

-- The frames as the meter sent them, and the reading as the gateway sent it: a decoding mistake can be replayed.
create table reading_raw (
    reading_id  uuid primary key,
    raw         bytea not null,
    context_raw bytea,
    sent        jsonb not null
);

create table quarantine (
    quarantine_id bigint generated always as identity primary key,
    gateway_id    text        not null,
    reason        text        not null,
    detail        text        not null default '',
    epoch         text,
    seq           bigint,
    meter_id      text,
    user_slot     smallint,
    raw           bytea       not null, -- the first 4 KiB of what came
    fingerprint   bytea,                -- of epoch, seq, reason and all that came: sent again, it is counted as repeated
    received_at   timestamptz not null default now(),
    resolved_at   timestamptz,
    resolved_by   text
);
create index quarantine_open on quarantine (received_at) where resolved_at is null;
create unique index quarantine_once on quarantine (gateway_id, fingerprint);

-- received = stored + repeated + quarantined, per gateway, always.
create table gateway_account (
    gateway_id  text primary key,
    received    bigint not null default 0,
    stored      bigint not null default 0,
    repeated    bigint not null default 0,
    quarantined bigint not null default 0
);

-- Which seqs of an outbox's epoch have been committed here. Ranges merge by themselves; a hole is visible loss.
create table gateway_progress (
    gateway_id text           not null,
    epoch      text           not null,
    seen       int8multirange not null default '{}',
    first_at   timestamptz    not null default now(),
    last_at    timestamptz    not null default now(),
    primary key (gateway_id, epoch)
);

-- What is due. Append-only; a judge takes the rows of one patient whose due_at has passed and deletes exactly those.
-- `since`: the earliest instant whose judgement may have changed. `quiet`: history is being seeded, nobody is told.
create table due (
    due_id     bigint generated always as identity primary key,
    patient_id bigint      not null references patient,
    due_at     timestamptz not null,
    since      timestamptz not null,
    reason     text        not null,
    quiet      boolean     not null default false
);
create index due_by_time on due (due_at);
create index due_by_patient on due (patient_id);
