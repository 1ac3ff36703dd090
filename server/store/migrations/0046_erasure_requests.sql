-- Wishes to erase somebody wait for a second person; what was found when traces were looked for; codes for a record of one's own. pre

create table erasure_request (
    request_id bigint generated always as identity primary key,
    patient_id bigint      not null references patient,
    reason     text        not null check (reason in ('asked', 'withdrawn', 'over', 'ordered')),
    asked_by   bigint      not null references app_user,
    asked_at   timestamptz not null,
    decision   text        check (decision in ('confirmed', 'refused')),
    decided_by bigint      references app_user,
    decided_at timestamptz,
    check ((decision is null) = (decided_by is null) and (decision is null) = (decided_at is null)),
    check (decision <> 'confirmed' or decided_by <> asked_by)
);
create unique index erasure_request_open on erasure_request (patient_id) where decision is null;

-- Append-only. `places`: where a trace was left, by table, file or topic; `unreached`: what was not looked at, and why.
create table erasure_proof (
    proof_id   bigint generated always as identity primary key,
    patient_id bigint      not null references patient,
    looked_at  timestamptz not null,
    traces     int         not null,
    tables     int         not null,
    files      int         not null,
    topics     int         not null,
    places     text[]      not null,
    unreached  text[]      not null
);
create trigger erasure_proof_is_kept before update or delete or truncate on erasure_proof
    for each statement execute function refuse_change();

-- A clinician gives the patient a code; with the link to the own page, it opens the whole record, once.
create table record_code (
    patient_id bigint primary key references patient,
    code_hash  bytea       not null,
    given_by   bigint      not null references app_user,
    ends_at    timestamptz not null,
    tries      int         not null default 0
);

select audit_keep('erasure_request', '{request_id}', is_mutable => true);
select audit_keep('erasure_proof', '{proof_id}');
