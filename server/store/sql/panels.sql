-- Who is on whose panel, how that came to be, and records opened in an emergency. Asked by the house: it decides whom the walls let in.

-- name: lock_patient
-- One change of a patient's panels at a time; nothing where there is no such patient.
select doctor_id from patient
where patient_id = %(patient_id)s and not is_watchdog and standing in ('active', 'paused') for update;

-- name: clinician
-- Nobody gives the account another role until this transaction ends, so that nobody is put on the panel of who has none.
select user_id, role from app_user where user_id = %(user_id)s and active and role in ('doctor', 'nurse') for key share;

-- name: add
insert into panel (user_id, patient_id) values (%(user_id)s, %(patient_id)s) on conflict do nothing;

-- name: remove
delete from panel where user_id = %(user_id)s and patient_id = %(patient_id)s;

-- name: set_doctor
update patient set doctor_id = %(user_id)s where patient_id = %(patient_id)s;

-- name: unassign
-- Tasks of somebody who no longer sees the patient are anybody's.
update follow_up set assigned_to = null, version = version + 1
where patient_id = %(patient_id)s and assigned_to = %(user_id)s and state = 'open';

-- name: note_change
insert into panel_change (at, changed_by, act, patient_id, from_user, to_user, reason_sealed)
values (%(at)s, %(changed_by)s, %(act)s, %(patient_id)s, %(from_user)s, %(to_user)s, %(reason)s)
returning change_id;

-- name: list_changes
-- What builds before the sealing wrote is in plain.
select change_id, at, changed_by, act, patient_id, from_user, to_user, reason as plain_reason, reason_sealed
from panel_change
where (%(patient_id)s::bigint is null or patient_id = %(patient_id)s)
  and (%(user_id)s::bigint is null or %(user_id)s in (from_user, to_user))
order by change_id desc limit %(limit)s;

-- name: members
-- The patients of one clinician, by number alone.
select patient_id, bool_or(is_doctor) as is_doctor from (
    select patient_id, true as is_doctor from patient where doctor_id = %(user_id)s and not is_watchdog
    union all
    select patient_id, false from panel where user_id = %(user_id)s
) found group by patient_id order by patient_id;

-- name: keepers
-- Who sees a patient regularly: the own doctor first.
select u.user_id, u.display_name, u.role, u.active, bool_or(f.is_doctor) as is_doctor, bool_or(f.is_on_panel) as is_on_panel
from (select doctor_id as user_id, true as is_doctor, false as is_on_panel from patient where patient_id = %(patient_id)s
      union all select user_id, false, true from panel where patient_id = %(patient_id)s) f
join app_user u using (user_id)
group by u.user_id, u.display_name, u.role, u.active
order by bool_or(f.is_doctor) desc, u.display_name, u.user_id;

-- name: unkept
-- Patients whom nobody who can sign in sees, by number.
select p.patient_id from patient p
where not p.is_watchdog and p.standing in ('active', 'paused') and not exists (
    select from panel_regular r join app_user u using (user_id) where r.patient_id = p.patient_id and u.active
)
order by p.patient_id limit %(limit)s;

-- name: house_zone
-- Where most of the patients live.
select zone from patient_zone group by zone order by count(*) desc, zone limit 1;

-- name: open_glass
insert into break_glass (user_id, patient_id, reason, opened_at, ends_at)
values (%(user_id)s, %(patient_id)s, %(reason)s, %(opened_at)s, %(ends_at)s)
returning break_glass_id;

-- name: end_glass
update break_glass set ended_at = %(now)s
where break_glass_id = %(break_glass_id)s and user_id = %(user_id)s and ended_at is null and ends_at > %(now)s
returning patient_id;

-- name: open_now
-- What somebody has open.
select break_glass_id, user_id, patient_id, opened_at, ends_at from break_glass
where user_id = %(user_id)s and ended_at is null and ends_at > %(now)s order by ends_at;

-- name: opened_of
-- Who has opened the record of a patient lately, for those who see the patient.
select b.break_glass_id, b.user_id, u.display_name as by_name, b.opened_at, least(b.ends_at, b.ended_at) as ends_at
from break_glass b join app_user u using (user_id)
where b.patient_id = %(patient_id)s and b.opened_at > %(since)s order by b.break_glass_id desc;

-- name: count_tries
-- How often somebody has tried lately, whatever came of it.
select count(*), min(at) from audit_entry
where actor = %(actor)s and act in ('break_glass.open', 'break_glass.refuse') and at > %(since)s;

-- name: lock_tries
select pg_advisory_xact_lock(hashtextextended('break_glass ' || %(actor)s, 0));

-- name: tell_doctor
-- In the inbox of the patient's doctor, or of whoever sees the patient where there is none.
insert into push (push_id, patient_id, recipient, channel, kind, step, text, state, due_at, sent_at)
select %(push_id)s, p.patient_id, coalesce('user:' || u.user_id, 'clinic'), 'inbox', 'break_glass', 0, %(text)s, 'sent', %(now)s, %(now)s
from patient p left join app_user u on u.user_id = p.doctor_id and u.active
where p.patient_id = %(patient_id)s
returning recipient;
