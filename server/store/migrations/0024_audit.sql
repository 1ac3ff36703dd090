-- Who did what, and who looked at whose record. pre

-- Append-only. `actor`: `user:<id>`, `patient:<id>` (by the patient's own link), `server:<role>`, or `cli:<name of the account of the
-- machine>`. `subject`: what it was about, by its id. `detail`: plain facts, never a name, a contact or a value of a patient.
create table audit_entry (
    entry_id   bigint generated always as identity primary key,
    at         timestamptz not null,
    actor      text        not null,
    act        text        not null check (act ~ '^[a-z_]+(\.[a-z_]+)+$'),
    patient_id bigint,
    subject    text        not null default '',
    detail     jsonb       not null default '{}'
);
create index audit_entry_of_patient on audit_entry (patient_id, entry_id);
create index audit_entry_by_actor on audit_entry (actor, entry_id);
create trigger audit_entry_is_kept before update or delete or truncate on audit_entry
    for each statement execute function refuse_change();
