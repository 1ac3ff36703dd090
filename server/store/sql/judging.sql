-- What a judge reads and writes; all of one judging is one transaction that holds the patient's advisory lock.

-- name: due_patients
-- Whose due rows have passed, the longest waiting first. Only a hint: `take_due` decides.
select patient_id from due where due_at <= now() group by patient_id order by min(due_at) limit %(limit)s;

-- name: lock_patient
-- One judge at a time for a patient, on however many machines.
select pg_try_advisory_xact_lock(hashtextextended('homevigil judge', %(patient_id)s)),
       exists (select from patient where patient_id = %(patient_id)s and is_watchdog);

-- name: take_due
select due_id, since, quiet, now() from due
where patient_id = %(patient_id)s and due_at <= now()
  and exists (select from patient p where p.patient_id = due.patient_id and p.standing = 'active')
order by due_id
for update skip locked;

-- name: forget_due
delete from due where due_id = any(%(due_ids)s::bigint[]);

-- name: postpone
-- A judging that breaks is tried again later and does not keep the others waiting.
update due set due_at = now() + make_interval(secs => %(seconds)s), is_put_off = true where patient_id = %(patient_id)s and due_at <= now();

-- name: forget_timers
-- The judging just made says anew when time alone may change something.
delete from due where patient_id = %(patient_id)s and reason = 'timer';

-- name: set_timer
insert into due (patient_id, due_at, since, reason) values (%(patient_id)s, %(due_at)s, now(), 'timer');

-- name: episodes
-- All of the patient's, locked: a clinician's decision and a judging do not write over each other. The doctor counts as told
-- if a message after the last retraction was sent or is on its way just now. Untold is what was found late when it last began,
-- and of which no message was queued since; the patient may be untold alone, where a better value had followed (what is muted
-- has its own way to be told after all).
select e.episode_id, e.rule_id, e.rule_version, e.threshold_version, e.state, e.priority, e.first_day, e.last_day,
       e.started_at, e.opened_at, e.resolved_at,
       e.state = 'resolved' and e.resolved_by is not null as closed_by_person,
       exists (select from push s
               where s.episode_id = e.episode_id and s.recipient <> 'patient' and s.kind <> 'retraction'
                 and (s.state = 'sent' or (s.state = 'pending' and s.lease_until > now()))
                 and s.created_at > coalesce((select max(created_at) from push r
                                              where r.episode_id = e.episode_id and r.kind = 'retraction'), '-infinity'))
           as doctor_told,
       coalesce(right(t.reason, 5) = '_late'
                and not exists (select from push s
                                where s.episode_id = e.episode_id and s.kind <> 'retraction' and s.created_at >= t.at),
                false) as is_untold,
       t.reason is distinct from 'seeded'
           and not exists (select from push s
                           where s.episode_id = e.episode_id and s.recipient = 'patient' and s.kind = 'opening'
                             and (s.state <> 'cancelled' or s.why = 'inhibited')) as is_patient_untold,
       e.verdict as numbers
from episode e
left join lateral (
    select reason, at from episode_transition
    where episode_id = e.episode_id and by_user is null and to_state in ('active', 'resolved')
      and coalesce(from_state, 'retracted') in ('resolved', 'retracted')
    order by transition_id desc limit 1
) t on true
where e.patient_id = %(patient_id)s
order by e.episode_id
for update of e;

-- name: sentences
select episode_id, sentence from episode where episode_id = any(%(episode_ids)s);

-- name: patient
-- And whether a clinician's correction bears on what is read next: for nearly everybody none does.
select enrolled_on,
       exists (select from reading_elsewhere where stored_as = %(patient_id)s or patient_id = %(patient_id)s) as is_corrected
from patient where patient_id = %(patient_id)s;

-- name: doctor
select p.doctor_id as user_id, coalesce(u.active, false) as is_reachable
from patient p left join app_user u on u.user_id = p.doctor_id
where p.patient_id = %(patient_id)s;

-- name: backup
select m.user_id from panel_regular m join app_user u using (user_id) join patient p using (patient_id)
where m.patient_id = %(patient_id)s and u.active and m.user_id is distinct from p.doctor_id
order by m.user_id;

-- name: zones
select valid_from, zone from patient_zone where patient_id = %(patient_id)s order by valid_from;

-- name: thresholds
select distinct on (rule_id) rule_id, version, parameters, is_watched from patient_threshold
where patient_id = %(patient_id)s
order by rule_id, version desc;

-- name: symptoms
select answered_at, cardinality(symptoms) > 0 from symptom_answer
where patient_id = %(patient_id)s and answered_at >= %(since)s
order by answered_at, answer_id;

-- name: readings
-- The columns of `windows.Row`, by name and order.
select reading_id, kind, measured_at, received_at, systolic_mmhg, diastolic_mmhg, pulse_bpm, glucose_mmol_l, glucose_mg_dl,
       weight_kg, spo2_percent, temperature_celsius, glucose_censored, meal, meter_status, quality, time_quality
from reading
where patient_id = %(patient_id)s and measured_at >= %(since)s;

-- name: open
-- The id is derived, so the same opening found twice is one row.
insert into episode (episode_id, patient_id, rule_id, rule_version, threshold_version, state, priority, first_day, last_day,
                     started_at, opened_at, judged_at, resolved_at, resolution, verdict, sentence)
values (%(episode_id)s, %(patient_id)s, %(rule_id)s, %(rule_version)s, %(threshold_version)s, %(state)s, %(priority)s,
        %(first_day)s, %(last_day)s, %(started_at)s, %(opened_at)s, now(), %(resolved_at)s, %(resolution)s,
        %(verdict)s, %(sentence)s)
on conflict (episode_id) do update
set state = excluded.state, rule_version = excluded.rule_version, priority = excluded.priority,
    last_day = excluded.last_day, started_at = excluded.started_at, resolved_at = excluded.resolved_at,
    resolution = excluded.resolution, resolved_by = null, retracted_at = null, acknowledged_at = null,
    acknowledged_by = null, verdict = excluded.verdict, sentence = excluded.sentence, version = episode.version + 1;

-- name: update
update episode
set state = %(state)s, rule_version = %(rule_version)s, priority = %(priority)s, first_day = %(first_day)s,
    last_day = %(last_day)s, started_at = %(started_at)s, opened_at = %(opened_at)s, resolved_at = %(resolved_at)s,
    resolution = %(resolution)s, verdict = %(verdict)s, sentence = %(sentence)s, version = version + 1,
    snoozed_until = case when %(state)s = 'snoozed' then snoozed_until end,
    snoozed_or_worse = %(state)s = 'snoozed' and snoozed_or_worse,
    snoozed_by = case when %(state)s = 'snoozed' then snoozed_by end, seen = case when %(state)s = 'snoozed' then seen end,
    inhibited_by = case when %(state)s in ('active', 'acknowledged', 'snoozed') then inhibited_by end
where episode_id = %(episode_id)s;

-- name: reopen
-- What is true again wants to be acknowledged again; who had done so before stays in the transitions.
update episode
set acknowledged_at = null, acknowledged_by = null, resolved_by = null, retracted_at = null
where episode_id = %(episode_id)s;

-- name: resolve_without_finding
update episode
set state = 'resolved', resolved_at = now(), resolution = %(resolution)s, snoozed_until = null, snoozed_or_worse = false,
    snoozed_by = null, seen = null, inhibited_by = null, version = version + 1
where episode_id = %(episode_id)s;

-- name: retract
update episode
set state = 'retracted', retracted_at = now(), snoozed_until = null, snoozed_or_worse = false, snoozed_by = null, seen = null,
    inhibited_by = null, version = version + 1
where episode_id = %(episode_id)s;

-- name: note_transition
insert into episode_transition (episode_id, from_state, to_state, reason)
values (%(episode_id)s, %(from_state)s, %(to_state)s, %(reason)s);

-- name: cancel_unsent
-- Nobody hears of what is no longer true. A message that is on its way just now counts as sent.
update push set state = 'cancelled', why = 'taken_back', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind <> 'retraction'
  and coalesce(lease_until, '-infinity') <= now();

-- name: cancel_repeats
update push set state = 'cancelled', why = 'over', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind in ('reminder', 'escalation', 'breach')
  and coalesce(lease_until, '-infinity') <= now();

-- name: cancel_steps_ahead
update push set state = 'cancelled', why = 'other_priority', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind = 'escalation' and due_at > now();

-- name: withdraw_from_patient
update push set state = 'withdrawn'
where episode_id = %(episode_id)s and recipient = 'patient' and state = 'sent' and step >= 0;

-- name: steps
-- How far the telling of an episode has come.
select min(step), max(step) from push where episode_id = %(episode_id)s having count(*) > 0;

-- name: told_doctor
select exists (select from push where episode_id = %(episode_id)s and recipient <> 'patient' and kind <> 'retraction');

-- name: told_of
-- A message that is on its way just now counts as sent.
select distinct s.recipient, s.channel from push s
where s.episode_id = %(episode_id)s and s.recipient <> 'patient' and s.kind <> 'retraction'
  and (s.state = 'sent' or (s.state = 'pending' and s.lease_until > now()))
  and s.created_at > coalesce((select max(created_at) from push r
                               where r.episode_id = %(episode_id)s and r.kind = 'retraction'), '-infinity')
order by s.recipient, s.channel;

-- name: unacknowledged
-- Alerts that a doctor was told of, or was not because of a silence, and when last; one opened quietly, of which nobody heard, is
-- not among them.
select e.episode_id, e.rule_id, e.priority, e.sentence, max(s.step) as last_step,
       max(coalesce(s.sent_at, s.due_at)) filter (where s.recipient <> 'patient' and s.kind <> 'retraction') as told_at,
       bool_or(s.state = 'pending' and s.recipient <> 'patient') as is_waiting
from episode e join push s using (episode_id)
where e.patient_id = %(patient_id)s and e.state = 'active'
  and (s.state in ('pending', 'sent', 'dead', 'undeliverable') or s.why in ('silenced', 'inhibited'))
group by e.episode_id
having bool_or(s.recipient <> 'patient' and s.kind <> 'retraction')
order by e.episode_id;

-- name: webhooks
select webhook_id from webhook where active order by webhook_id;

-- name: push
insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at, state, is_urgent, why,
                  cancelled_at)
values (%(push_id)s, %(episode_id)s, %(patient_id)s, %(recipient)s, %(channel)s, %(kind)s, %(step)s, %(text)s, %(due_at)s,
        %(state)s, %(is_urgent)s, %(why)s, case when %(state)s = 'cancelled' then clock_timestamp() end)
on conflict (episode_id, recipient, channel, step) do nothing;

-- name: ring
select pg_notify('push', '');
