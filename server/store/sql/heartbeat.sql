-- The watchdog's own rows: who it is, one beat, and the taking away of the beats before.

-- name: last_beat
select started_at, came_through_at, took_s, late_part from heartbeat where started_at is not null;

-- name: claim
-- By the database's clock and by one row, locked: of two processes one gets it. Whether the beat before was seen to its end goes with it.
with before as (select is_under_way from heartbeat where next_at <= now() for update)
update heartbeat set next_at = now() + make_interval(secs => %(every_s)s), started_at = now(), is_under_way = true
from before
returning heartbeat.started_at, before.is_under_way as was_under_way;

-- name: give_back
-- The process is told to end: another may begin at once.
update heartbeat set next_at = '-infinity', is_under_way = false where started_at = %(started_at)s;

-- name: came_through
update heartbeat set came_through_at = now(), took_s = %(took_s)s, late_part = null, is_under_way = false
where started_at = %(started_at)s;

-- name: came_late
update heartbeat set late_part = %(part)s, is_under_way = false where started_at = %(started_at)s;

-- name: find_watchdog
select patient_id from patient where is_watchdog;

-- name: lock_enrolment
select pg_advisory_xact_lock(hashtextextended('homevigil watchdog', 0));

-- name: name_watchdog
update patient set is_watchdog = true where patient_id = %(patient_id)s;

-- name: lock_judging
-- The lock of `judging.lock_patient`, waited for: no judge is half way through the rows that go.
select pg_advisory_xact_lock(hashtextextended('homevigil judge', %(patient_id)s));

-- name: forget_pushes
delete from push where patient_id = %(patient_id)s;

-- name: forget_transitions
delete from episode_transition t using episode e
where t.episode_id = e.episode_id and e.patient_id = %(patient_id)s;

-- name: forget_episodes
delete from episode where patient_id = %(patient_id)s;

-- name: forget_due
delete from due where patient_id = %(patient_id)s;

-- name: forget_readings
-- No further back than the broker keeps a message for intake, so that it costs the same however many months there are.
delete from reading where patient_id = %(patient_id)s and kind = 'blood_pressure' and measured_at >= %(since)s
returning reading_id;

-- name: forget_raw
delete from reading_raw where reading_id = any(%(reading_ids)s::uuid[]);

-- name: forget_seen
delete from reading_seen where reading_id = any(%(reading_ids)s::uuid[]);

-- name: forget_quarantine
delete from quarantine where gateway_id = %(gateway_id)s and released_as is null;

-- name: forget_progress
delete from gateway_progress where gateway_id = %(gateway_id)s;

-- name: settle_account
-- What is gone is no longer counted either: received = stored + repeated + quarantined holds before and after.
update gateway_account
set received = received - %(stored)s - %(quarantined)s - repeated, stored = stored - %(stored)s,
    quarantined = quarantined - %(quarantined)s, repeated = 0
where gateway_id = %(gateway_id)s;

-- name: is_judged
select exists (select from episode where patient_id = %(patient_id)s and verdict->'reading_ids' ? %(reading_id)s);

-- name: is_sent
-- The message about this reading, sent since this beat began.
select exists (
    select from episode e join push s using (episode_id)
    where e.patient_id = %(patient_id)s and e.verdict->'reading_ids' ? %(reading_id)s
      and s.state = 'sent' and s.sent_at >= %(since)s
);
