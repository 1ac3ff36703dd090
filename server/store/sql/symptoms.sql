-- What a patient says of symptoms, and that the patient is judged by it at once.

-- name: note
insert into symptom_answer (patient_id, answered_at, symptoms, said_by)
values (%(patient_id)s, %(now)s, %(symptoms)s, %(user_id)s);

-- name: make_due
-- An answer belongs to an event of up to a day before it.
insert into due (patient_id, due_at, since, reason)
values (%(patient_id)s, now(), %(now)s - interval '1 day', 'symptoms');

-- name: ring
select pg_notify('due', '');

-- name: asked_since
select max(started_at) from episode
where patient_id = %(patient_id)s and rule_id = any(%(rule_ids)s) and state in ('active', 'acknowledged', 'snoozed')
  and started_at > %(now)s - interval '1 day';

-- name: last_answer
select answered_at, cardinality(symptoms) > 0 from symptom_answer
where patient_id = %(patient_id)s and answered_at >= %(since)s
order by answered_at desc, answer_id desc limit 1;

-- name: count_answers
select count(*) from symptom_answer
where patient_id = %(patient_id)s and answered_at > %(now)s - interval '1 day';
