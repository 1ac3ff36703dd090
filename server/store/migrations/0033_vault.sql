-- Each patient has a key; who they are and what their meters sent is sealed with it. post: the server is stopped before

-- Wrapped by a key that is not here. `holder`: patient:<id>, or, of what is nobody's yet, meter:<id> or gateway:<id>. Destroyed:
-- nothing that it sealed can be opened any more, here or in a backup whose own keys are gone.
create table data_key (
    holder       text primary key,
    patient_id   bigint unique references patient,
    wrapped      bytea check (length(wrapped) = 68),
    made_at      timestamptz not null default now(),
    destroyed_at timestamptz,
    check ((wrapped is null) = (destroyed_at is not null)),
    check (patient_id is null or holder = 'patient:' || patient_id)
);

alter table patient add column identity bytea; -- name, telephone, birth date

-- The rows go over into a new table one by one; the old one, with all that was ever written in it, is dropped by the next migration.
alter table reading_raw rename to reading_raw_plain;
alter index reading_raw_pkey rename to reading_raw_plain_pkey;
create table reading_raw (
    reading_id  uuid primary key,
    patient_id  bigint, -- whose key sealed it; null: whose it was is not known any more, and the house's key did
    raw         bytea not null,
    context_raw bytea,
    sent        bytea not null
);
create index reading_raw_by_patient on reading_raw (patient_id);

alter table quarantine add column is_sealed boolean not null default false;
alter table quarantine_day add column is_sealed boolean not null default false;

-- A sealed value with the key that opens it, in one column.
create function vault_envelope(patient_id bigint, wrapped bytea, sealed bytea) returns bytea
    language sql immutable parallel safe as $$ select int8send($1) || $2 || $3 $$;

create view patient_identity with (security_invoker = true) as
    select p.patient_id, vault_envelope(p.patient_id, k.wrapped, p.identity) as identity
    from patient p left join data_key k using (patient_id);

create view reading_frames with (security_invoker = true) as
    select w.reading_id, w.patient_id, vault_envelope(w.patient_id, k.wrapped, w.raw) as raw,
           vault_envelope(w.patient_id, k.wrapped, w.context_raw) as context_raw,
           vault_envelope(w.patient_id, k.wrapped, w.sent) as sent
    from reading_raw w left join data_key k using (patient_id);
