-- What people decide about an alert beside having it: how long it sleeps, whether it was of use, what is undone, what is silent. pre

alter table episode
    add column snoozed_until    timestamptz,
    add column snoozed_or_worse boolean not null default false, -- wakes before its time on a worse value
    add column snoozed_by       bigint references app_user,
    add column seen             jsonb,                          -- the priority and the numbers that were on the screen then
    add column is_useful        boolean,                        -- null: nobody has said
    add column inhibited_by     uuid references episode,        -- a more urgent alert of the same signal speaks for it
    add column known_at         timestamptz,                    -- of an urgent alert: when the server had the reading
    add column answer_by        timestamptz,                    -- and by when a clinician's decision must be on record
    add column answered_at      timestamptz,
    add column answered_by      bigint references app_user;

-- What was said in words with a step of the alert's life; UTF-8.
alter table episode_transition add column note bytea;

-- What a decision may change of an alert, so that undoing it restores exactly that.
create function episode_standing(e episode) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'state', e.state, 'acknowledged_at', e.acknowledged_at, 'acknowledged_by', e.acknowledged_by,
        'resolved_at', e.resolved_at, 'resolved_by', e.resolved_by, 'resolution', e.resolution,
        'snoozed_until', e.snoozed_until, 'snoozed_or_worse', e.snoozed_or_worse, 'snoozed_by', e.snoozed_by, 'seen', e.seen,
        'is_useful', e.is_useful, 'answered_at', e.answered_at, 'answered_by', e.answered_by)
$$;

-- Append-only: each decision of a person about an alert, as it found the alert and as it left it.
create table decision (
    decision_id   bigint generated always as identity primary key,
    episode_id    uuid        not null references episode,
    patient_id    bigint      not null references patient,
    user_id       bigint      not null references app_user,
    act           text        not null check (act in ('acknowledge', 'snooze', 'resolve', 'rate', 'note', 'undo')),
    at            timestamptz not null, -- by the clock of the door
    written_at    timestamptz not null default clock_timestamp(),
    key           text,                 -- the caller's own name for the request: said twice, it is one decision
    asked         text        not null, -- what was asked, as a digest: a key belongs to one request
    version       bigint      not null, -- of the alert after it
    standing_was  jsonb       not null,
    standing_is   jsonb       not null,
    transition_id bigint references episode_transition,
    undoes        bigint references decision
);
create index decision_by_episode on decision (episode_id, decision_id);
create unique index decision_once on decision (user_id, key) where key is not null;
create trigger decision_is_kept before update or delete on decision
    for each statement execute function refuse_change();

-- Why a message was not sent, or not at once; and by which decision, so that undoing it lets the message go.
alter table push
    add column why          text,
    add column cancelled_by bigint references decision,
    add column cancelled_at timestamptz;

-- Append-only but for its end: a patient's alerts by one rule, or by all rules that are not urgent, tell no clinician until then.
create table silence (
    silence_id bigint generated always as identity primary key,
    patient_id bigint      not null references patient,
    rule_id    text,                 -- null: every rule but the urgent ones
    reason     bytea       not null, -- UTF-8
    made_at    timestamptz not null,
    made_by    bigint      not null references app_user,
    until      timestamptz not null,
    ended_at   timestamptz,          -- before its time, by a person
    ended_by   bigint references app_user,
    version    bigint      not null default 1,
    key        text,
    check (until > made_at)
);
create index silence_of_patient on silence (patient_id, until);
create unique index silence_once on silence (made_by, key) where key is not null;

select audit_keep('decision', '{decision_id}', 't.patient_id');
select audit_keep('silence', '{silence_id}', 't.patient_id', is_mutable => true);
