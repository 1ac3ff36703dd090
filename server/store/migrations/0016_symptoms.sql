-- What patients say when they are asked for the symptoms that make a critical value an emergency. pre

-- Append-only: what was said at an instant was said then, whatever is said later.
create table symptom_answer (
    answer_id   bigint generated always as identity primary key,
    patient_id  bigint      not null references patient,
    answered_at timestamptz not null,
    symptoms    text[]      not null, -- by their codes; empty: asked, and there were none
    said_by     bigint      references app_user -- null: the patient, on the patient's own page
);
create index symptom_answer_by_patient on symptom_answer (patient_id, answered_at);
create trigger symptom_answer_is_kept before update or delete on symptom_answer
    for each statement execute function refuse_change();
