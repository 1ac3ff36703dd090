-- What the recompute reads, by statements of its own and none of the judge's, and the record of its runs.

-- name: clinic_zone
-- Where most of the patients live now.
select mode() within group (order by zone) from (
    select distinct on (patient_id) zone from patient_zone where valid_from <= now() order by patient_id, valid_from desc
) as lives;

-- name: lock_runs
select pg_advisory_xact_lock(hashtextextended('homevigil recompute', 0));

-- name: begin
-- Nothing is begun while another's lease lasts.
insert into recompute_run (lease_until, days)
select now() + make_interval(secs => %(lease_s)s), %(days)s
where not exists (select from recompute_run where ended_at is null and lease_until > now())
returning run_id, started_at;

-- name: renew
update recompute_run set lease_until = now() + make_interval(secs => %(lease_s)s), patients = %(patients)s
where run_id = %(run_id)s;

-- name: give_up
update recompute_run set lease_until = now() where run_id = %(run_id)s and ended_at is null;

-- name: end
update recompute_run
set ended_at = clock_timestamp(), patients = %(patients)s, waiting = %(waiting)s, alerts = %(alerts)s,
    differences = %(differences)s
where run_id = %(run_id)s;

-- name: note_difference
insert into recompute_difference (run_id, patient_id, rule_id, kind, episode_id, at, computed, stored)
values (%(run_id)s, %(patient_id)s, %(rule_id)s, %(kind)s, %(episode_id)s, %(at)s, %(computed)s, %(stored)s);

-- name: last_run
select run_id, started_at, ended_at, days, patients, waiting, alerts, differences
from recompute_run where ended_at is not null and days >= %(days)s
order by ended_at desc limit 1;

-- name: is_overdue
-- A house that has never been recomputed is overdue when its first patient has been here for as long.
select coalesce((select max(ended_at) from recompute_run where days >= %(days)s),
                (select min(created_at) from patient where not is_watchdog))
       < now() - %(after)s::interval;

-- name: now
select now();

-- name: patients
-- Everybody but the watchdog's patient, some at a time.
select patient_id from patient
where not is_watchdog and standing = 'active' and patient_id > %(after)s
order by patient_id limit %(limit)s;

-- name: enrolments
select patient_id, enrolled_on from patient where patient_id = any(%(patient_ids)s::bigint[]) and not is_watchdog;

-- name: moment
-- After the snapshot was taken, so that whatever time had brought about by then is due in it.
select clock_timestamp();

-- name: due
-- What the judge has still to look at: what is due, and what was put off because judging broke.
select patient_id, due_id from due
where patient_id = any(%(patient_ids)s::bigint[]) and (due_at <= %(at)s or is_put_off);

-- name: rules
-- What is in force, and since when a clinician has let it be; null: it has always been.
select r.edition, coalesce((
    select json_agg(json_build_object('written', v.content::json, 'approved_at', case when a.approved_by is not null then a.approved_at end)
                    order by v.rule_id)
    from rule_approval a join rule_version v using (rule_id, version) where a.ended_at is null), '[]') as rules
from rule_book r;

-- name: zones
select patient_id, valid_from, zone from patient_zone where patient_id = any(%(patient_ids)s::bigint[]);

-- name: thresholds
select distinct on (patient_id, rule_id) patient_id, rule_id, version, parameters, is_watched, set_at
from patient_threshold
where patient_id = any(%(patient_ids)s::bigint[])
order by patient_id, rule_id, version desc;

-- name: symptoms
select patient_id, answered_at, symptoms <> '{}' from symptom_answer
where patient_id = any(%(patient_ids)s::bigint[])
order by patient_id, answered_at;

-- name: bindings
select patient_id, gateway_id, meter_id, valid_from, valid_to from meter_binding where patient_id = any(%(patient_ids)s::bigint[]);

-- name: deaf
-- When a gateway, or (without a subject) every gateway, was not heard.
select subject, raised_at, cleared_at from alarm
where (kind = 'nobody_heard' and subject = '')
   or (kind in ('gateway_unheard', 'gateway_suspended') and subject = any(%(gateway_ids)s::text[]));

-- name: doors
select gateway_id, state, enrolled_at, first_heard_at, last_heard_at from gateway where gateway_id = any(%(gateway_ids)s::text[]);

-- name: ownerless
-- What waited for somebody to say whose it is.
select gateway_id, meter_id, received_at, resolved_at from quarantine
where reason = any(%(reasons)s) and (gateway_id = any(%(gateway_ids)s::text[]) or meter_id = any(%(meter_ids)s::text[]));

-- name: last_counted
-- The newest reading before an instant that our own mark accepts, for whoever has none in view.
select p.patient_id, max(r.measured_at)
from unnest(%(patient_ids)s::bigint[], %(since)s::timestamptz[]) p (patient_id, since)
join reading_on_record r on r.patient_id = p.patient_id and r.measured_at < p.since
where r.standing = 'in_use' and r.quality = 'accepted' and r.time_quality <> 'orphan'
group by p.patient_id;

-- name: episodes
-- All that they ever had, with how each was found the last time that it began or began again, and who was told since when.
select e.patient_id, e.episode_id, e.rule_id, e.rule_version, e.threshold_version, e.state, e.priority, e.first_day,
       e.last_day, e.started_at, e.opened_at, e.resolved_at,
       e.state = 'resolved' and e.resolved_by is not null as closed_by_person,
       coalesce(e.verdict->'reading_ids', '[]') as reading_ids,
       coalesce(t.at, e.judged_at) as found_at, coalesce(t.to_state, e.state) as found_state,
       coalesce(t.reason = 'seeded', false) as found_quietly,
       (select max(created_at) from push s
        where s.episode_id = e.episode_id and s.kind in ('opening', 'reminder') and s.recipient = 'patient') as patient_told_at,
       (select max(created_at) from push s
        where s.episode_id = e.episode_id and s.kind in ('opening', 'reminder') and s.recipient <> 'patient') as clinic_told_at
from episode e
left join lateral (
    select at, to_state, reason from episode_transition
    where episode_id = e.episode_id and by_user is null and to_state in ('active', 'resolved')
      and coalesce(from_state, 'retracted') in ('resolved', 'retracted')
    order by transition_id desc limit 1
) t on true
where e.patient_id = any(%(patient_ids)s::bigint[])
order by e.patient_id, e.started_at, e.episode_id;

-- name: readings
-- The reading as its gateway sent it; our own columns only where what was sent is not kept. No mark of ours is read. Whose it is, is
-- made out from all that was ever said of it, and not from the table in which the judge looks.
with said as (
    select distinct on (reading_id) reading_id, stored_as, kind, measured_at, to_patient_id
    from reading_correction
    where reading_id in (select reading_id from reading_correction
                         where stored_as = any(%(patient_ids)s::bigint[]) or to_patient_id = any(%(patient_ids)s::bigint[]))
    order by reading_id, version desc
), asked as (
    select patient_id, since from unnest(%(patient_ids)s::bigint[], %(since)s::timestamptz[]) as p (patient_id, since)
), theirs as (
    select p.patient_id as owner_id, r.*
    from asked p
    join reading r on r.patient_id = p.patient_id and r.measured_at >= p.since
    left join said using (reading_id)
    where said.reading_id is null or said.to_patient_id = p.patient_id
    union all
    select p.patient_id, r.*
    from asked p
    join said on said.to_patient_id = p.patient_id and said.stored_as <> p.patient_id and said.measured_at >= p.since
    join reading r on (r.patient_id, r.kind, r.measured_at, r.reading_id)
                      = (said.stored_as, said.kind, said.measured_at, said.reading_id)
)
select r.owner_id, r.reading_id::text as name, r.kind,
       r.measured_at, r.received_at, r.time_quality, w.sent,
       jsonb_build_object(
           'systolic_mmhg', r.systolic_mmhg, 'diastolic_mmhg', r.diastolic_mmhg, 'pulse_bpm', r.pulse_bpm,
           'glucose_mmol_l', r.glucose_mmol_l, 'glucose_mg_dl', r.glucose_mg_dl, 'censored', r.glucose_censored,
           'meal', r.meal, 'weight_kg', r.weight_kg, 'spo2_percent', r.spo2_percent,
           'temperature_celsius', r.temperature_celsius, 'status', r.meter_status) as measurement
from theirs r
left join reading_frames w using (reading_id);

-- name: taken_away
-- What was theirs once and is not now: the judge has seen it, and told people of what else came by what it said.
select distinct c.from_patient_id, c.kind, c.measured_at
from reading_correction c
join lateral (
    select to_patient_id from reading_correction where reading_id = c.reading_id order by version desc limit 1
) now on now.to_patient_id is distinct from c.from_patient_id
where c.from_patient_id = any(%(patient_ids)s::bigint[]);
