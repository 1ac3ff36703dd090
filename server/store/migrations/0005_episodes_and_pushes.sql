-- The life of an alert, and who was told what, when. pre
create table episode (
    episode_id        uuid primary key,
    patient_id        bigint      not null references patient,
    rule_id           text        not null,
    rule_version      int         not null,
    threshold_version int         not null default 0,
    state             text        not null check (state in ('active', 'acknowledged', 'snoozed', 'resolved', 'retracted')),
    priority          text        not null check (priority in ('information', 'low', 'medium', 'high')),
    first_day         date        not null,
    last_day          date        not null,
    started_at        timestamptz not null, -- the first instant judged
    opened_at         timestamptz not null, -- when the condition became true
    judged_at         timestamptz not null, -- when a judge found it
    acknowledged_at   timestamptz,
    acknowledged_by   bigint references app_user,
    resolved_at       timestamptz,
    resolved_by       bigint references app_user, -- null: the readings resolved it
    resolution        text,
    retracted_at      timestamptz,
    verdict           jsonb       not null, -- the numbers judged and the thresholds they were judged by
    sentence          jsonb       not null, -- {"en": ..., "zh": ...}: why, in plain words
    version           bigint      not null default 1 -- rises with every change; the ETag
);
create index episode_by_patient on episode (patient_id, rule_id);
create index episode_open on episode (state) where state in ('active', 'acknowledged', 'snoozed');

create table episode_transition (
    transition_id bigint generated always as identity primary key,
    episode_id    uuid        not null references episode,
    at            timestamptz not null default clock_timestamp(),
    from_state    text,
    to_state      text        not null,
    by_user       bigint references app_user, -- null: the judge
    reason        text        not null
);
create index episode_transition_by_episode on episode_transition (episode_id, transition_id);

create table webhook (
    webhook_id bigint generated always as identity primary key,
    url        text    not null,
    secret     text    not null, -- Standard Webhooks, whsec_…
    active     boolean not null default true
);

-- One row for each telling: unique in episode, recipient, channel and step, so that nobody is told twice.
create table push (
    push_id      uuid primary key, -- also the idempotency key that the channel sees
    episode_id   uuid        not null references episode,
    patient_id   bigint      not null references patient,
    recipient    text        not null, -- 'patient', 'user:<user_id>', 'clinic' (nobody is named), 'clinic:<webhook_id>'
    channel      text        not null check (channel in ('inbox', 'webhook')),
    step         int         not null, -- 0 opening, 1.. repeated to the doctor, -1 retraction
    text         jsonb       not null, -- {"en": {"title", "body"}, "zh": {...}}
    state        text        not null default 'pending' check (state in ('pending', 'sent', 'cancelled', 'withdrawn', 'dead')),
    due_at       timestamptz not null,
    lease_until  timestamptz, -- somebody is sending it until then
    retry_at     timestamptz, -- not before then, after a failure
    attempts     int         not null default 0,
    last_error   text,
    created_at   timestamptz not null default clock_timestamp(),
    sent_at      timestamptz,
    read_at      timestamptz,
    unique (episode_id, recipient, channel, step)
);
create index push_waiting on push (due_at) where state = 'pending';
create index push_inbox on push (recipient, sent_at) where channel = 'inbox';
