-- What the recompute found, night by night: the judge's alerts against those of an independent oracle. pre

-- A run without `ended_at` is under way while its lease lasts; after that it was broken off and counts for nothing.
create table recompute_run (
    run_id      bigint generated always as identity primary key,
    started_at  timestamptz not null default now(),
    lease_until timestamptz not null,
    ended_at    timestamptz,
    days        int         not null check (days >= 1),
    patients    int         not null default 0, -- compared
    waiting     int         not null default 0, -- not compared: they were being judged at every look
    alerts      int         not null default 0, -- computed, in the days looked at
    differences int         not null default 0  -- found; the rows below are the first thousand
);
create index recompute_run_ended on recompute_run (ended_at) where ended_at is not null;

create table recompute_difference (
    difference_id bigint generated always as identity primary key,
    run_id        bigint      not null references recompute_run,
    patient_id    bigint      not null references patient,
    rule_id       text        not null, -- empty where it is about no rule: the patient is not judged at all
    kind          text        not null check (kind in ('missing', 'extra', 'other_state', 'other_days', 'other_instants',
                                                       'other_grounds', 'other_thresholds', 'not_pushed', 'not_judged',
                                                       'not_computed')),
    episode_id    uuid,                 -- of the stored side; no reference: a difference outlives what it is about
    at            timestamptz not null, -- the instant at which both sides were seen
    computed      jsonb,                -- as the oracle has it; null where it has none
    stored        jsonb                 -- as the judge has written it; null where there is none
);
create index recompute_difference_by_run on recompute_difference (run_id);
