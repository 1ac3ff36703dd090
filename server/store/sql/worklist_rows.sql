-- What the worklist's order, filters and rows need besides the alerts. Every statement that finds patients joins panel_member; the
-- others are asked with patients and alerts that were found so.

-- name: list_members
-- Everybody whom the user sees, without a look at any reading.
select p.patient_id, i.identity as name, p.conditions, p.doctor_id, d.display_name as doctor_name
from panel_member m
join patient p using (patient_id)
join patient_identity i using (patient_id)
left join app_user d on d.user_id = p.doctor_id
where m.user_id = %(user_id)s and not p.is_watchdog
  and (%(patient_id)s::bigint is null or p.patient_id = %(patient_id)s::bigint)
order by p.patient_id;

-- name: list_trends
-- What was measured lately, on average, and before that. An average of fewer than two readings says nothing.
select patient_id, kind,
       avg(systolic_mmhg) filter (where measured_at > %(lately)s) as systolic_lately,
       avg(systolic_mmhg) filter (where measured_at <= %(lately)s) as systolic_before,
       avg(coalesce(glucose_mmol_l, weight_kg, spo2_percent, temperature_celsius, pulse_bpm)) filter (where measured_at > %(lately)s) as value_lately,
       avg(coalesce(glucose_mmol_l, weight_kg, spo2_percent, temperature_celsius, pulse_bpm)) filter (where measured_at <= %(lately)s) as value_before
from reading_in_use
where patient_id = any (%(patient_ids)s) and kind = any (%(kinds)s) and measured_at > %(since)s and quality = 'accepted'
  and time_quality <> 'orphan'
group by patient_id, kind
having count(*) filter (where measured_at > %(lately)s) >= 2 and count(*) filter (where measured_at <= %(lately)s) >= 2;

-- name: list_heard
-- When a home of each patient was last heard, whatever it had to say.
select b.patient_id, max(g.last_heard_at) as last_heard_at
from meter_binding b join gateway g using (gateway_id)
where b.patient_id = any (%(patient_ids)s) and b.valid_to is null
group by b.patient_id;

-- name: list_last_decisions
-- What a person last did about each alert.
select distinct on (t.episode_id) t.episode_id, t.at, t.to_state, t.reason, u.display_name as by_name
from episode_transition t join app_user u on u.user_id = t.by_user
where t.episode_id = any (%(episode_ids)s)
order by t.episode_id, t.transition_id desc;

-- name: median_answer
-- From when a clinician was told of an alert (or, where nobody was, from when it was found) to when somebody acknowledged it.
select percentile_cont(0.5) within group (
           order by greatest(extract(epoch from e.acknowledged_at - coalesce(s.told_at, e.judged_at)), 0)
       )
from episode e
join panel_member m using (patient_id)
left join lateral (
    select min(sent_at) as told_at from push
    where episode_id = e.episode_id and recipient <> 'patient' and sent_at is not null
) s on true
where m.user_id = %(user_id)s and e.acknowledged_at > %(since)s;

-- name: list_same_rule
-- Earlier alerts of the same rule of one patient, newest first.
select e.episode_id, e.state, e.priority, e.first_day, e.last_day, e.opened_at, e.resolution, e.sentence,
       r.display_name as resolved_by
from episode e left join app_user r on r.user_id = e.resolved_by
where e.patient_id = %(patient_id)s and e.rule_id = %(rule_id)s and e.episode_id <> %(episode_id)s
  and e.opened_at <= %(before)s
order by e.opened_at desc
limit %(limit)s;
