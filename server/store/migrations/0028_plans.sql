-- What was agreed with a patient, when the house looks at it next, and what it said. pre

-- Every version that was ever agreed; the newest is in force. `plan` holds no word that somebody wrote about a patient: names and
-- doses of medicines are in `wording`, as bytes, in the order of the medicines.
create table patient_plan (
    patient_id bigint      not null references patient,
    version    int         not null check (version >= 1),
    plan       jsonb       not null,
    wording    bytea,
    reason     text        not null default '',
    set_by     bigint      not null references app_user,
    set_at     timestamptz not null,
    primary key (patient_id, version)
);

-- When the plan of a patient is to be looked at next; a row for each patient who has one.
create table plan_due (
    patient_id bigint primary key references patient,
    due_at     timestamptz not null
);
create index plan_due_by_time on plan_due (due_at);

-- What became of each occasion for a reminder: one row, whatever happens, so that nobody is reminded twice. `step` 0 reminds, 1 asks to
-- measure once more. `fate`: told, measured (it was done already), taken (the patient said so), quiet (at night), enough (as many as
-- were agreed that day), unwanted (no consent).
create table reminder (
    patient_id bigint      not null references patient,
    occasion   text        not null,
    step       int         not null check (step in (0, 1)),
    planned_at timestamptz not null,
    decided_at timestamptz not null,
    fate       text        not null check (fate in ('told', 'measured', 'taken', 'quiet', 'enough', 'unwanted')),
    primary key (patient_id, occasion, step)
);
create index reminder_by_time on reminder (patient_id, planned_at);

-- Append-only: what a patient says of an occasion. The last one counts.
create table occasion_answer (
    answer_id   bigint generated always as identity primary key,
    patient_id  bigint      not null references patient,
    occasion    text        not null,
    planned_at  timestamptz not null,
    answered_at timestamptz not null,
    answer      text        not null check (answer in ('done', 'not_done'))
);
create index occasion_answer_by_patient on occasion_answer (patient_id, planned_at);
create trigger occasion_answer_is_kept before update or delete or truncate on occasion_answer
    for each statement execute function refuse_change();

-- A reminder is a push of no alert: kind `plan`. Past `expires_at` it is not sent any more: a morning's reminder is none at night.
alter table push alter column episode_id drop not null;
alter table push add column expires_at timestamptz;
alter table push drop constraint push_kind_check;
alter table push add constraint push_kind_check
    check (kind in ('opening', 'reminder', 'escalation', 'retraction', 'plan'));
alter table push add constraint push_of_alert check ((episode_id is null) = (kind = 'plan'));
create index push_expiring on push (expires_at) where state = 'pending' and expires_at is not null;

-- Who moves lives by another clock: the plan is looked at anew.
create function plan_zone_changed() returns trigger language plpgsql as $$
begin
    update plan_due set due_at = least(due_at, now()) where patient_id = new.patient_id;
    perform pg_notify('plan', '');
    return null;
end $$;
create trigger patient_zone_moves_plan after insert or update on patient_zone
    for each row execute function plan_zone_changed();

select audit_keep('patient_plan', '{patient_id,version}', 't.patient_id');
select audit_keep('occasion_answer', '{answer_id}', 't.patient_id');
