-- What bears on who is told what, when: what is open, what is muted, quiet hours, ladders, and the clock of ten minutes.

-- name: open_episodes
-- The patient's, with whom each has told: `told_clinic`, `told_patient` if a message is sent or on its way (to the patient, of the
-- last day: what was heard before is no longer in the ear).
select e.episode_id, e.rule_id, e.priority, e.state, e.sentence, e.verdict as numbers, e.snoozed_until, e.snoozed_or_worse, e.seen,
       e.inhibited_by, e.known_at, e.answer_by, e.answered_at,
       exists (select from push s where s.episode_id = e.episode_id and s.recipient <> 'patient' and s.kind <> 'retraction'
               and s.state in ('pending', 'sent', 'undeliverable', 'dead')) as told_clinic,
       exists (select from push s where s.episode_id = e.episode_id and s.recipient = 'patient' and s.kind = 'opening'
               and s.state in ('pending', 'sent') and coalesce(s.sent_at, s.due_at) > now() - interval '1 day') as told_patient,
       coalesce((select s.why in ('silenced', 'inhibited') and s.state = 'cancelled' from push s
                 where s.episode_id = e.episode_id and s.recipient <> 'patient'
                   and s.kind in ('opening', 'reminder', 'escalation')
                 order by s.step desc, s.created_at desc limit 1), false) as is_clinic_muted,
       coalesce((select s.why = 'inhibited' and s.state = 'cancelled' from push s
                 where s.episode_id = e.episode_id and s.recipient = 'patient' and s.kind = 'opening'
                 order by s.step desc, s.created_at desc limit 1), false) as is_patient_muted
from episode e
where e.patient_id = %(patient_id)s and e.state in ('active', 'acknowledged', 'snoozed')
order by e.episode_id;

-- name: inhibit
-- Which alert speaks for it; what is shown beside it, no change of the alert itself.
update episode set inhibited_by = %(by)s where episode_id = %(episode_id)s and inhibited_by is distinct from %(by)s;

-- name: mute_pending
-- What was still to be told of it; a message that is on its way just now is left to its sender.
update push set state = 'cancelled', why = 'inhibited', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind in ('opening', 'reminder', 'escalation')
  and (recipient <> 'patient' or %(with_patient)s) and coalesce(lease_until, '-infinity') <= now();

-- name: wake
update episode
set state = 'active', acknowledged_at = null, acknowledged_by = null, snoozed_until = null, snoozed_or_worse = false,
    snoozed_by = null, seen = null, version = version + 1
where episode_id = %(episode_id)s and state = 'snoozed';

-- name: zone
select zone from patient_zone where patient_id = %(patient_id)s and valid_from <= %(at)s order by valid_from desc limit 1;

-- name: quiet_hours
-- Those of the first of these subjects for whom somebody has set any.
select begins_at, ends_at from quiet_hours
where subject = any(%(subjects)s::text[])
order by array_position(%(subjects)s::text[], subject), quiet_id desc
limit 1;

-- name: set_quiet_hours
insert into quiet_hours (subject, begins_at, ends_at, set_at, set_by)
values (%(subject)s, %(begins_at)s, %(ends_at)s, %(now)s, %(set_by)s);

-- name: list_quiet_hours
select distinct on (subject) subject, begins_at, ends_at, set_at, set_by from quiet_hours
order by subject, quiet_id desc;

-- name: ladder
select version, steps, supervisor, set_at, set_by from ladder order by version desc limit 1;

-- name: list_ladders
select version, steps, supervisor, set_at, set_by from ladder order by version desc limit 100;

-- name: lock_ladders
-- One at a time: two people cannot both set the next version.
select pg_advisory_xact_lock(hashtextextended('homevigil ladder', 0));

-- name: set_ladder
insert into ladder (steps, supervisor, set_at, set_by) values (%(steps)s, %(supervisor)s, %(now)s, %(set_by)s)
returning version;

-- name: is_clinician
select exists (select from app_user where user_id = %(user_id)s and active and role in ('doctor', 'nurse'));

-- name: sees
-- Of these users, who can sign in and see the patient.
select m.user_id from panel_regular m join app_user u using (user_id)
where m.patient_id = %(patient_id)s and u.active and m.user_id = any(%(user_ids)s::bigint[])
order by m.user_id;

-- name: known_at
-- When the server had these readings: the first of them, and the last.
select min(stored_at), max(stored_at) from reading
where patient_id = %(patient_id)s and measured_at between %(since)s and %(until)s and reading_id = any(%(reading_ids)s::uuid[]);

-- name: start_clock
update episode set known_at = %(known_at)s, answer_by = %(answer_by)s, answered_at = null, answered_by = null
where episode_id = %(episode_id)s;

-- name: due_at
insert into due (patient_id, due_at, since, reason) values (%(patient_id)s, %(due_at)s, now(), 'answer');

-- name: note_breach
-- Once, whoever looks.
insert into sla_breach (episode_id, patient_id, known_at, answer_by, noticed_at)
values (%(episode_id)s, %(patient_id)s, %(known_at)s, %(answer_by)s, %(now)s)
on conflict (episode_id, answer_by) do nothing
returning breach_id;
