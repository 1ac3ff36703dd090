-- What a patient's page and reports read beside readings and alerts. The door has found that whoever asks may see the patient.

-- name: who
select enrolled_on from patient where patient_id = %(patient_id)s;

-- name: zones
select valid_from, zone from patient_zone where patient_id = %(patient_id)s order by valid_from;

-- name: kinds
-- Of which kinds there is any reading at all.
select k from unnest(%(kinds)s::text[]) k
where exists (select from reading_on_record r where r.patient_id = %(patient_id)s and r.kind = k);

-- name: decisions
-- What clinicians have decided of the patient's alerts or noted about them, oldest first, with what they have undone: taking an
-- alert over says nothing of the patient.
select t.episode_id, t.at, t.reason, e.rule_id, u.display_name as by_name, t.note
from episode_transition t
join episode e using (episode_id)
left join app_user u on u.user_id = t.by_user
where e.patient_id = %(patient_id)s and t.by_user is not null and t.at >= %(since)s and t.at < %(until)s
  and split_part(t.reason, ':', 1) not in ('acknowledged', 'useful', 'not_useful')
order by t.at, t.transition_id;

-- name: answers
-- What the patient has said of symptoms, oldest first; empty: there were none.
select answered_at, symptoms from symptom_answer
where patient_id = %(patient_id)s and said_by is null and answered_at >= %(since)s and answered_at < %(until)s
order by answered_at, answer_id;

-- name: meters
-- The patient's meters, those in use first, with what their home's gateway was heard of and the newest reading since `since`.
select b.meter_id, b.user_slot, b.gateway_id, b.valid_from, b.valid_to, g.last_heard_at,
       (select max(measured_at) from reading_in_use r
        where r.patient_id = b.patient_id and r.meter_id = b.meter_id and r.measured_at >= %(since)s) as last_at
from meter_binding b join gateway g using (gateway_id)
where b.patient_id = %(patient_id)s
order by b.valid_to desc nulls first, b.valid_from desc, b.binding_id desc
limit 20;

-- name: meters_of
-- Which meters the readings in use of one kind came from.
select distinct meter_id from reading_in_use
where patient_id = %(patient_id)s and kind = %(kind)s and measured_at >= %(since)s and measured_at < %(until)s
order by meter_id;
