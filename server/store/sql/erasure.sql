-- Who is kept under seal or gone, and who may not go. Asked for by whoever runs the house.

-- name: standing
select standing from patient where patient_id = %(patient_id)s and not is_watchdog for update;

-- name: hold
select hold_id, reason, made_by, until from legal_hold
where patient_id = %(patient_id)s and ended_at is null and until > %(now)s order by until desc limit 1;

-- name: add_hold
insert into legal_hold (patient_id, reason, made_at, made_by, until)
values (%(patient_id)s, %(reason)s, %(now)s, %(by)s, %(until)s) returning hold_id;

-- name: end_hold
update legal_hold set ended_at = %(now)s, ended_by = %(by)s where hold_id = %(hold_id)s and ended_at is null returning patient_id;

-- name: holds
select hold_id, patient_id, made_by, made_at, until from legal_hold where ended_at is null and until > %(now)s order by until, hold_id;

-- name: last_entry
-- The last instant at which anything clinical was written about the patient: from there the law counts.
select greatest((select max(measured_at) from reading where patient_id = %(patient_id)s),
                (select max(judged_at) from episode where patient_id = %(patient_id)s),
                (select max(t.at) from episode_transition t join episode e using (episode_id) where e.patient_id = %(patient_id)s),
                (select max(at) from follow_up_event where patient_id = %(patient_id)s),
                (select max(set_at) from patient_plan where patient_id = %(patient_id)s),
                (select max(answered_at) from symptom_answer where patient_id = %(patient_id)s));

-- name: users
select user_id, login from app_user where login = any(%(logins)s) and active;

-- name: restrict
update patient set standing = 'restricted', doctor_id = null where patient_id = %(patient_id)s;

-- name: off_panels
delete from panel where patient_id = %(patient_id)s;

-- name: end_links
update patient_link set revoked_at = %(now)s where patient_id = %(patient_id)s and revoked_at is null;

-- name: end_bindings
update meter_binding set valid_to = greatest(%(now)s, valid_from) where patient_id = %(patient_id)s and valid_to is null;

-- name: end_homes
update gateway_home set valid_to = greatest(%(now)s, valid_from) where patient_id = %(patient_id)s and valid_to is null;

-- name: end_plan
delete from plan_due where patient_id = %(patient_id)s;

-- name: note
insert into erasure (patient_id, reason, asked_at, asked_by, second, keep_until, restricted_at)
values (%(patient_id)s, %(reason)s, %(now)s, %(asked_by)s, %(second)s, %(keep_until)s, %(now)s);

-- name: over
-- Kept under seal until now, and held by nobody.
select patient_id from erasure e
where destroyed_at is null and keep_until <= %(now)s
  and not exists (select from legal_hold h where h.patient_id = e.patient_id and h.ended_at is null and h.until > %(now)s)
order by patient_id;

-- name: kept
select patient_id, reason, restricted_at, keep_until from erasure where destroyed_at is null order by keep_until, patient_id;

-- name: holders
-- The keys that are this patient's alone: their own; those of meters and gateways that were never anybody else's.
select 'patient:' || %(patient_id)s
union
select 'meter:' || b.meter_id from meter_binding b where b.patient_id = %(patient_id)s
  and not exists (select from meter_binding o where o.meter_id = b.meter_id and o.patient_id <> b.patient_id)
union
select 'gateway:' || b.gateway_id from meter_binding b where b.patient_id = %(patient_id)s
  and not exists (select from meter_binding o where o.gateway_id = b.gateway_id and o.patient_id <> b.patient_id);

-- name: empty_quarantine
-- What came from a slot of a meter that is shared: the key stays, the bytes go.
update quarantine q set raw = ''
where exists (select from meter_binding b where b.patient_id = %(patient_id)s and b.meter_id = q.meter_id
              and (b.user_slot is not distinct from q.user_slot or b.user_slot is null)
              and q.received_at >= b.valid_from and (b.valid_to is null or q.received_at < b.valid_to))
  and q.raw <> '';

-- name: destroy_keys
update data_key set wrapped = null, destroyed_at = %(now)s where holder = any(%(holders)s::text[]) and wrapped is not null;

-- name: forget_frames
delete from reading_raw where patient_id = %(patient_id)s;

-- name: forget_diagnoses
delete from gateway_diagnosis d using meter_binding b
where b.patient_id = %(patient_id)s and b.gateway_id = d.gateway_id
  and not exists (select from meter_binding o where o.gateway_id = b.gateway_id and o.patient_id <> b.patient_id);

-- name: forget_contacts
delete from contact
where patient_id = %(patient_id)s or user_id in (select user_id from patient_account where patient_id = %(patient_id)s);

-- name: forget_links
delete from patient_link where patient_id = %(patient_id)s;

-- name: forget_corrections
-- What builds before the sealing wrote in plain.
update reading_correction set note = ''
where note <> '' and %(patient_id)s in (stored_as, from_patient_id, to_patient_id, said_in);

-- name: forget_reasons
update patient_threshold set reason = '' where patient_id = %(patient_id)s and reason <> '';

-- name: forget_panel_reasons
update panel_change set reason = '' where patient_id = %(patient_id)s and reason <> '';

-- name: forget_codes
delete from record_code where patient_id = %(patient_id)s;

-- name: forget_passkeys
delete from passkey p using patient_account a where a.patient_id = %(patient_id)s and p.user_id = a.user_id;

-- name: forget_house_expected
delete from house_expected h using patient_account a where a.patient_id = %(patient_id)s and h.user_id = a.user_id;

-- name: forget_house_identity
delete from house_identity h using patient_account a where a.patient_id = %(patient_id)s and h.user_id = a.user_id;

-- name: forget_sessions
delete from user_session s using patient_account a where a.patient_id = %(patient_id)s and s.user_id = a.user_id;

-- name: forget_invitation
delete from invitation i using patient_account a where a.patient_id = %(patient_id)s and i.user_id = a.user_id;

-- name: forget_attempts
delete from login_attempt l using patient_account a join app_user u using (user_id)
where a.patient_id = %(patient_id)s and l.login = u.login;

-- name: forget_account
-- The number stays, for the audit names accounts by it; nobody signs in with it any more.
update app_user u set login = 'erased-' || u.user_id, display_name = '', password_hash = '', active = false
from patient_account a where a.patient_id = %(patient_id)s and u.user_id = a.user_id;

-- name: destroy
-- What is left is a number, a language and a zone, under which vital signs lie that are nobody's.
update patient set standing = 'destroyed', identity = null, sex = null, conditions = '{}', doctor_id = null
where patient_id = %(patient_id)s;

-- name: destroyed
update erasure set destroyed_at = %(now)s where patient_id = %(patient_id)s;

-- name: frames
select reading_id from reading_raw where patient_id = %(patient_id)s order by random() limit %(limit)s;

-- name: columns
-- Every table that holds rows itself, whatever its schema.
select format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and n.nspname not in ('information_schema') and n.nspname not like 'pg_toast%'
  and has_table_privilege(c.oid, 'select')
order by 1;
