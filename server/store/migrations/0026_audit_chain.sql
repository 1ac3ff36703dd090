-- What is written down is sealed: a gapless chain of hashes over the audit and the other ledgers, and its anchors outside. pre

-- The tables whose rows are sealed. `key_columns` name a row; `patient` says in SQL (of a row `t`) whose it is, null: nobody's.
-- `is_mutable`: its rows go on (an alert, a message), and each state in which one was found is sealed. `is_keyed`: its digests are
-- HMACs under the patient's own key, because a plain hash of a blood pressure is found by trying all of them.
create table audit_ledger (
    ledger      text    primary key,
    key_columns text[]  not null,
    patient     text    not null default 'null::bigint',
    is_mutable  boolean not null default false,
    is_keyed    boolean not null default false
);

-- Which columns a digest is over: those that the table had when the row was sealed.
create table audit_shape (
    shape   int    generated always as identity primary key,
    ledger  text   not null references audit_ledger,
    columns text[] not null,
    unique (ledger, columns)
);

-- What waits to be sealed; written in the transaction of the row itself, so that nothing that commits late is passed over, and
-- taken away by the sealer in the transaction that seals it. Readings come as `members`, one row for each patient of a batch.
create table audit_due (
    due_id     bigint generated always as identity primary key,
    ledger     text   not null,
    key        text   not null,
    patient_id bigint,
    members    text[]
);

-- A patient's own key, made when the first row about the patient is sealed. Destroyed, the digests say nothing any more, to
-- anybody, and the chain over them stays what it was.
create table audit_key (
    patient_id   bigint primary key,
    key          bytea check (length(key) = 32),
    made_at      timestamptz not null default now(),
    destroyed_at timestamptz,
    check ((key is null) = (destroyed_at is not null))
);

-- The chain. `seq` counts without a gap from 1, `of_patient` those of one patient. `hash`: SHA-256 of the hash before and of this
-- link (docs/explanation/record). `digest` of readings: of their `members` and `parts` (64 bytes each: of the reading, of its frames).
create table audit_link (
    seq        bigint primary key check (seq > 0),
    ledger     text   not null references audit_ledger,
    key        text   not null,
    patient_id bigint,
    of_patient bigint,
    shape      int    not null,
    digest     bytea  not null check (length(digest) = 32),
    hash       bytea  not null check (length(hash) = 32),
    members    text[],
    parts      bytea,
    check ((patient_id is null) = (of_patient is null)),
    check ((members is null) = (parts is null))
);
create unique index audit_link_of_patient on audit_link (patient_id, of_patient) where patient_id is not null;
create index audit_link_of_row on audit_link (ledger, key) where members is null;

-- Links that were sealed together. `root`: of the Merkle tree over their hashes (RFC 9162); `hash`: of the seal and the one before.
create table audit_seal (
    seal      bigint primary key check (seal > 0),
    at        timestamptz not null,
    first_seq bigint      not null,
    last_seq  bigint      not null,
    root      bytea       not null check (length(root) = 32),
    head      bytea       not null check (length(head) = 32),
    hash      bytea       not null check (length(hash) = 32),
    check (first_seq <= last_seq)
);
create unique index audit_seal_by_seq on audit_seal (last_seq);
create index audit_seal_by_time on audit_seal (at);

-- What is shown to somebody outside: which links there are, up to which hash. `statement`: canonical JSON; `digest`: its SHA-256.
create table audit_anchor (
    anchor     bigint primary key check (anchor > 0),
    at         timestamptz not null,
    first_seal bigint      not null references audit_seal,
    last_seal  bigint      not null references audit_seal,
    statement  text        not null,
    digest     bytea       not null check (length(digest) = 32)
);

-- What somebody outside answered: a time-stamp token (RFC 3161), or where it was written.
create table audit_receipt (
    anchor   bigint      not null references audit_anchor,
    notary   text        not null,
    received_at timestamptz not null,
    receipt  bytea       not null,
    primary key (anchor, notary)
);

create trigger audit_link_is_kept before update or delete or truncate on audit_link
    for each statement execute function refuse_change();
create trigger audit_seal_is_kept before update or delete or truncate on audit_seal
    for each statement execute function refuse_change();
create trigger audit_anchor_is_kept before update or delete or truncate on audit_anchor
    for each statement execute function refuse_change();
create trigger audit_receipt_is_kept before update or delete or truncate on audit_receipt
    for each statement execute function refuse_change();
create trigger audit_shape_is_kept before update or delete or truncate on audit_shape
    for each statement execute function refuse_change();

-- How a row of ledger `ledger` is named, of a row `t`.
create function audit_key_of(key_columns text[]) returns text language sql immutable as $$
    select 'concat_ws(''/'', ' || string_agg(format('t.%I', name), ', ' order by place) || ')'
    from unnest(key_columns) with ordinality as k (name, place)
$$;

-- Notes what a statement wrote, to be sealed. It acts in the owner's name: whoever may write a row need not be allowed to write here.
create function audit_note_due() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    execute format('insert into audit_due (ledger, key, patient_id) select %L, %s, %s from written t', tg_argv[0], tg_argv[1], tg_argv[2]);
    return null;
end $$;

-- From now on every row of this table is sealed, and those that are there already. Said by the migration that makes the table.
create function audit_keep(ledger text, key_columns text[], patient text default 'null::bigint', is_mutable boolean default false,
                           is_keyed boolean default true) returns void language plpgsql as $$
begin
    insert into audit_ledger values (ledger, key_columns, patient, is_mutable, is_keyed and patient <> 'null::bigint');
    execute format('create trigger audit_new after insert on %I referencing new table as written
                    for each statement execute function audit_note_due(%L, %L, %L)', ledger, ledger, audit_key_of(key_columns), patient);
    if is_mutable then
        execute format('create trigger audit_changed after update on %I referencing new table as written
                        for each statement execute function audit_note_due(%L, %L, %L)', ledger, ledger, audit_key_of(key_columns), patient);
    end if;
    execute format('insert into audit_due (ledger, key, patient_id) select %L, %s, %s from %I t order by 2',
                   ledger, audit_key_of(key_columns), patient, ledger);
end $$;

select audit_keep('audit_entry', '{entry_id}', 't.patient_id', is_keyed => false);
select audit_keep('admission_event', '{event_id}');
select audit_keep('rule_version', '{rule_id,version}');
select audit_keep('rule_approval', '{approval_id}', is_mutable => true);
select audit_keep('patient_threshold', '{patient_id,rule_id,version}', 't.patient_id');
select audit_keep('meter_binding', '{binding_id}', 't.patient_id', is_mutable => true);
select audit_keep('reading_correction', '{correction_id}', 't.stored_as');
select audit_keep('symptom_answer', '{answer_id}', 't.patient_id');
select audit_keep('episode', '{episode_id}', 't.patient_id', is_mutable => true);
select audit_keep('episode_transition', '{transition_id}', '(select e.patient_id from episode e where e.episode_id = t.episode_id)');
select audit_keep('push', '{push_id}', 't.patient_id', is_mutable => true);
select audit_keep('follow_up', '{follow_up_id}', 't.patient_id', is_mutable => true);
select audit_keep('follow_up_event', '{event_id}', 't.patient_id');

-- A reading is named by its kind, instant and id; intake notes them batch by batch (`intake.insert_readings`), because a hypertable
-- takes no trigger that sees a whole statement.
create function audit_member(kind text, measured_at timestamptz, reading_id uuid) returns text language sql stable as $$
    select kind || '/' || to_char(measured_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '/' || reading_id
$$;
insert into audit_ledger values ('reading', '{kind,measured_at,reading_id}', 't.patient_id', false, true);
insert into audit_due (ledger, key, patient_id, members)
select 'reading', '', patient_id, array_agg(audit_member(kind, measured_at, reading_id) order by measured_at, reading_id)
from reading group by patient_id, date_trunc('day', stored_at) order by date_trunc('day', stored_at), patient_id;
