-- Whom somebody is to call, what came of each call, and when it is tried again. pre

-- One open task for a patient, whatever there is to speak of: alerts attach to it. `attempts`: calls in a row that reached nobody.
-- `is_for_doctor`: so many that the patient's own doctor is to see to it. `outcome` is why it was closed.
create table follow_up (
    follow_up_id  bigint generated always as identity primary key,
    patient_id    bigint      not null references patient,
    state         text        not null default 'open' check (state in ('open', 'closed')),
    origin        text        not null check (origin in ('alert', 'by_hand', 'plan')),
    opened_at     timestamptz not null,
    opened_by     bigint      references app_user, -- null: the house
    due_at        timestamptz not null,
    assigned_to   bigint      references app_user, -- null: whoever comes to it first
    attempts      int         not null default 0,
    is_for_doctor boolean     not null default false,
    closed_at     timestamptz,
    closed_by     bigint      references app_user, -- null: the house
    outcome       text,
    version       bigint      not null default 1, -- rises with every change; the ETag
    check ((state = 'closed') = (closed_at is not null and outcome is not null))
);
create unique index follow_up_open on follow_up (patient_id) where state = 'open';
create index follow_up_due on follow_up (due_at) where state = 'open';
create index follow_up_of_patient on follow_up (patient_id, opened_at);

create table follow_up_episode (
    follow_up_id bigint      not null references follow_up,
    episode_id   uuid        not null references episode,
    attached_at  timestamptz not null,
    primary key (follow_up_id, episode_id)
);
create index follow_up_episode_by_episode on follow_up_episode (episode_id);

-- Append-only: the life of each task. `result` is that of a call. `note` is what somebody wrote, as bytes.
create table follow_up_event (
    event_id              bigint generated always as identity primary key,
    follow_up_id          bigint      not null references follow_up,
    patient_id            bigint      not null references patient,
    at                    timestamptz not null,
    by_user               bigint      references app_user, -- null: the house
    act                   text        not null check (act in (
        'opened', 'attached', 'called', 'assigned', 'moved', 'handed_over', 'closed', 'reopened')),
    result                text        check (result in ('reached', 'no_answer', 'wrong_number', 'call_back')),
    is_medication_changed boolean     not null default false,
    due_at                timestamptz,
    assigned_to           bigint      references app_user,
    outcome               text,
    note                  bytea,
    check ((act = 'called') = (result is not null))
);
create index follow_up_event_of on follow_up_event (follow_up_id, event_id);
create trigger follow_up_event_is_kept before update or delete or truncate on follow_up_event
    for each statement execute function refuse_change();
