-- What a patient has agreed to. What follows from it is done by the database itself, in the same transaction.

-- name: add
insert into consent (patient_id, purpose, is_given, text_version, how, said_at, recorded_by)
values (%(patient_id)s, %(purpose)s, %(is_given)s, %(text_version)s, %(how)s, %(said_at)s, %(recorded_by)s);

-- name: last
-- The last word on each purpose.
select distinct on (purpose) purpose, is_given, text_version, how, said_at, recorded_by
from consent where patient_id = %(patient_id)s
order by purpose, consent_id desc;

-- name: history
select purpose, is_given, text_version, how, said_at, recorded_by from consent
where patient_id = %(patient_id)s order by consent_id;

-- name: allows
select consent_in_force(%(patient_id)s, %(purpose)s);

-- name: lock
select standing from patient where patient_id = %(patient_id)s and not is_watchdog for update;
