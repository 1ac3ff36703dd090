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
