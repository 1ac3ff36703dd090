-- What the programme's figures are counted from: of everybody of a panel, or (`user_id` null) of the house. Reads only; no name.

-- name: people
select p.patient_id, p.enrolled_on
from patient p
where not p.is_watchdog
  and (%(user_id)s::bigint is null
       or p.patient_id in (select patient_id from panel_member where user_id = %(user_id)s::bigint))
order by p.patient_id;

-- name: zones
select patient_id, valid_from, zone from patient_zone
where patient_id = any(%(patient_ids)s::bigint[])
order by patient_id, valid_from;

-- name: plans
-- Every version of their plans, oldest first.
select patient_id, set_at, plan from patient_plan
where patient_id = any(%(patient_ids)s::bigint[])
order by patient_id, version;

-- name: readings
-- When was measured, and the pressures, of each patient as one run of bytes: the instant, and 40 bits of tenths of mmHg with the place
-- of the kind in eight. A row a reading would take the client five times the time. What counts for silence counts here.
select patient_id,
       string_agg(timestamptz_send(measured_at)
                  || int8send((coalesce(round(systolic_mmhg * 10)::bigint, 0) << 24)
                              | (coalesce(round(diastolic_mmhg * 10)::bigint, 0) << 8)
                              | array_position(%(kinds)s::text[], kind)), ''::bytea)
from reading_in_use
where patient_id = any(%(patient_ids)s::bigint[]) and measured_at >= %(since)s and measured_at < %(until)s
  and kind = any(%(kinds)s::text[]) and quality = 'accepted' and time_quality <> 'orphan'
group by patient_id
order by patient_id;

-- name: alerts
-- Alerts that opened in the time, and what people made of them. `told_at`: when the first message reached a clinician, else when the
-- judge found it; null: no clinician was to hear of it.
select e.patient_id, e.priority, e.opened_at, e.state,
       case when t.is_told then coalesce(t.sent_at, e.judged_at) end as told_at,
       e.acknowledged_at, e.answered_at, e.answer_by, e.known_at, e.is_useful
from episode e
left join lateral (
    select bool_or(true) as is_told, min(s.sent_at) as sent_at from push s
    where s.episode_id = e.episode_id and s.recipient <> 'patient' and s.kind = 'opening'
) t on true
where e.patient_id = any(%(patient_ids)s::bigint[]) and e.opened_at >= %(since)s and e.opened_at < %(until)s;

-- name: follow_ups
-- Tasks that were due in the time.
select patient_id, opened_at, closed_at, outcome from follow_up
where patient_id = any(%(patient_ids)s::bigint[]) and opened_at >= %(since)s and opened_at < %(until)s;

-- name: unheard
-- When a home could not be heard, as the alarms say.
select b.patient_id, greatest(a.raised_at, b.valid_from) as began, least(a.cleared_at, b.valid_to) as ended
from meter_binding b
join alarm a on (a.subject = b.gateway_id and a.kind in ('gateway_unheard', 'gateway_suspended'))
             or (a.subject = '' and a.kind = 'nobody_heard')
where b.patient_id = any(%(patient_ids)s::bigint[]) and (a.cleared_at is null or a.cleared_at > %(since)s)
  and a.raised_at < %(until)s and (b.valid_to is null or b.valid_to > a.raised_at)
order by b.patient_id, began;
