-- What was agreed with a patient, and what the house made of it. The caller has asked `people.panels`, holds the patient's own link,
-- or is the house.

-- name: lock
-- Until the transaction ends nobody else agrees something else with this patient.
select pg_advisory_xact_lock(hashtextextended('homevigil plan', %(patient_id)s));

-- name: list
-- Every version, the newest first.
select p.version, p.plan, p.wording, u.display_name as set_by, p.set_at
from patient_plan p join app_user u on u.user_id = p.set_by
where p.patient_id = %(patient_id)s
order by p.version desc;

-- name: add
-- Why it was agreed is among the words.
insert into patient_plan (patient_id, version, plan, wording, set_by, set_at)
values (%(patient_id)s, %(version)s, %(plan)s, %(wording)s, %(set_by)s, %(set_at)s);

-- name: make_due
-- To be looked at now; rings.
insert into plan_due (patient_id, due_at) values (%(patient_id)s, %(due_at)s)
on conflict (patient_id) do update set due_at = least(plan_due.due_at, excluded.due_at);

-- name: ring
select pg_notify('plan', '');

-- name: due_patients
select patient_id from plan_due where due_at <= now() order by due_at limit %(limit)s;

-- name: take_due
select now() from plan_due where patient_id = %(patient_id)s and due_at <= now() for update skip locked;

-- name: put_off
update plan_due set due_at = %(due_at)s where patient_id = %(patient_id)s;

-- name: forget
delete from plan_due where patient_id = %(patient_id)s;

-- name: zones
select valid_from, zone from patient_zone where patient_id = %(patient_id)s order by valid_from;

-- name: measured
-- When was measured, by kind, as the rules about silence count it: accepted, and of a time that may be believed. No value is read.
select kind, measured_at from reading_in_use
where patient_id = %(patient_id)s and kind = any(%(kinds)s) and measured_at >= %(since)s and measured_at < %(until)s
  and quality = 'accepted' and time_quality <> 'orphan'
order by measured_at;

-- name: answers
-- The last answer to each occasion.
select distinct on (occasion) occasion, answer from occasion_answer
where patient_id = %(patient_id)s and planned_at >= %(since)s
order by occasion, answer_id desc;

-- name: count_answers
-- Occasions of medicines and questions about symptoms that were answered, each once, whatever the answer.
select (select count(distinct occasion) from occasion_answer
        where patient_id = %(patient_id)s and planned_at >= %(since)s and planned_at < %(until)s)
     + (select count(distinct date_trunc('day', answered_at)) from symptom_answer
        where patient_id = %(patient_id)s and answered_at >= %(since)s and answered_at < %(until)s and said_by is null);

-- name: note_answer
insert into occasion_answer (patient_id, occasion, planned_at, answered_at, answer)
values (%(patient_id)s, %(occasion)s, %(planned_at)s, %(answered_at)s, %(answer)s);

-- name: answered_lately
select count(*) from occasion_answer where patient_id = %(patient_id)s and answered_at > %(since)s;

-- name: reminded
-- What has become of occasions from `since` on.
select occasion, step, fate, planned_at, decided_at from reminder
where patient_id = %(patient_id)s and planned_at >= %(since)s
order by planned_at, step;

-- name: note_reminder
insert into reminder (patient_id, occasion, step, planned_at, decided_at, fate)
values (%(patient_id)s, %(occasion)s, %(step)s, %(planned_at)s, %(decided_at)s, %(fate)s);

-- name: push
insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at, expires_at)
values (%(push_id)s, null, %(patient_id)s, 'patient', %(channel)s, 'plan', %(step)s, %(text)s, %(due_at)s, %(expires_at)s)
on conflict (push_id) do nothing;

-- name: last_contact
-- When somebody last spoke with the patient, or ended a task.
select max(at) from follow_up_event
where patient_id = %(patient_id)s and (result = 'reached' or act = 'closed');

-- name: is_active
-- Whether the house acts for the patient at all.
select standing = 'active' and not is_watchdog from patient where patient_id = %(patient_id)s;
