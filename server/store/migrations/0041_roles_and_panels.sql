-- Patients and auditors may have accounts; who is on whose panel has a history; a stranger's record can be opened in an emergency. pre

alter table app_user
    drop constraint app_user_role_check,
    add constraint app_user_role_check check (role in ('doctor', 'nurse', 'patient', 'admin', 'auditor'));

-- A patient's own account is one patient's and sees that one alone.
create table patient_account (
    user_id    bigint primary key references app_user,
    patient_id bigint not null unique references patient
);

-- Append-only: how each panel came to be. `from_user`, `to_user`: who no longer sees the patient by it, and who does.
create table panel_change (
    change_id  bigint generated always as identity primary key,
    at         timestamptz not null,
    changed_by text        not null, -- an actor, as in the audit
    act        text        not null check (act in ('added', 'removed', 'transferred', 'doctor_set')),
    patient_id bigint      not null references patient,
    from_user  bigint      references app_user,
    to_user    bigint      references app_user,
    reason     text        not null check (reason <> '')
);
create index panel_change_of_patient on panel_change (patient_id, change_id);
create trigger panel_change_is_kept before update or delete or truncate on panel_change
    for each statement execute function refuse_change();
select wall_up('panel_change', 'select');
select audit_keep('panel_change', '{change_id}', 't.patient_id');

-- Append-only but for its end: somebody has opened the record of a patient of another's, says why, and sees it until then.
create table break_glass (
    break_glass_id bigint generated always as identity primary key,
    user_id        bigint      not null references app_user,
    patient_id     bigint      not null references patient,
    reason         bytea       not null,
    opened_at      timestamptz not null,
    ends_at        timestamptz not null,
    ended_at       timestamptz,
    check (ends_at > opened_at)
);
create index break_glass_of on break_glass (user_id, ends_at);
create index break_glass_of_patient on break_glass (patient_id, break_glass_id);
create trigger break_glass_rings after insert or update on break_glass for each row execute function ring_worklist();
select wall_up('break_glass', 'select');
select audit_keep('break_glass', '{break_glass_id}', 't.patient_id', is_mutable => true);

-- Whom the house tells of a patient: the patient's own doctor, and whoever has the patient on a panel. Clinicians only; and nobody
-- of a patient who is kept under seal, or erased.
create view panel_regular as
    select p.doctor_id as user_id, p.patient_id
    from patient p join app_user u on u.user_id = p.doctor_id
    where u.role in ('doctor', 'nurse') and p.standing in ('active', 'paused')
    union
    select m.user_id, m.patient_id
    from panel m join app_user u using (user_id) join patient p on p.patient_id = m.patient_id
    where u.role in ('doctor', 'nurse') and p.standing in ('active', 'paused');

-- Who may see whom, at this instant: those, a patient's own account, and whoever has opened the record in an emergency.
create or replace view panel_member as
    select user_id, patient_id from panel_regular
    union
    select a.user_id, a.patient_id
    from patient_account a join app_user u using (user_id) join patient p on p.patient_id = a.patient_id
    where u.role = 'patient' and p.standing in ('active', 'paused')
    union
    select b.user_id, b.patient_id
    from break_glass b join app_user u using (user_id) join patient p on p.patient_id = b.patient_id
    where b.ended_at is null and b.opened_at <= wall_now() and b.ends_at > wall_now() and u.role in ('doctor', 'nurse')
      and p.standing in ('active', 'paused');

create view people.panel_regular with (security_barrier) as
    select m.user_id, m.patient_id from public.panel_regular m
    where exists (select from people.mine v where v.patient_id = m.patient_id);
grant select on people.panel_regular to homevigil_people;

-- That somebody opened a record reaches the patient's doctor as a message about no alert.
alter table push
    drop constraint push_kind_check,
    drop constraint push_of_alert,
    add constraint push_kind_check
        check (kind in ('opening', 'reminder', 'escalation', 'retraction', 'plan', 'breach', 'break_glass')),
    add constraint push_of_alert check ((episode_id is null) = (kind in ('plan', 'break_glass')));
