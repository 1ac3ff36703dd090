-- A patient's own numbers for a rule, and whether it speaks of the patient at all. Versions are only ever added.

-- name: lock_thresholds
-- Two people do not set the next version of one patient's numbers at the same time.
select pg_advisory_xact_lock(hashtextextended('homevigil thresholds', %(patient_id)s));

-- name: list_versions
-- All that were ever set for a patient, the newest first.
select rule_id, version, parameters, is_watched, reason as plain_reason, reason_sealed, set_by, set_at
from patient_threshold
where patient_id = %(patient_id)s and (%(rule_id)s::text is null or rule_id = %(rule_id)s::text)
order by rule_id, version desc;

-- name: add_version
insert into patient_threshold (patient_id, rule_id, version, parameters, is_watched, reason_sealed, set_by, set_at)
values (%(patient_id)s, %(rule_id)s, %(version)s, %(parameters)s, %(is_watched)s, %(reason_sealed)s, %(set_by)s, %(now)s);

-- name: who
-- What presets look at.
select p.conditions, i.identity from patient p join patient_identity i using (patient_id) where p.patient_id = %(patient_id)s;

-- name: mark_due
-- A judging looks back to every alert that is still open, or has hardly ended, by itself.
insert into due (patient_id, due_at, since, reason) values (%(patient_id)s, now(), now(), 'thresholds');

-- name: ring
select pg_notify('due', '');
