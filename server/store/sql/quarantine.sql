-- What goes into quarantine, lies there, and finds its way out. Rows are never deleted.

-- name: known
-- Which of these have been put away before.
select fingerprint from quarantine where gateway_id = any(%(gateway_id)s) and fingerprint = any(%(fingerprint)s);

-- name: kept_today
select gateway_id, kept from quarantine_day
where gateway_id = any(%(gateway_id)s) and day = (now() at time zone 'UTC')::date;

-- name: put_away
-- What was already put away with the same reason is not put away twice; returned are the new ones.
insert into quarantine (gateway_id, reason, detail, epoch, seq, meter_id, user_slot, raw, fingerprint, message_hash)
select gateway_id, reason, detail, epoch, seq, meter_id, user_slot, raw, fingerprint, message_hash
from unnest(%(gateway_id)s::text[], %(reason)s::text[], %(detail)s::text[], %(epoch)s::text[], %(seq)s::bigint[],
            %(meter_id)s::text[], %(user_slot)s::smallint[], %(raw)s::bytea[], %(fingerprint)s::bytea[],
            %(message_hash)s::bytea[])
     as t (gateway_id, reason, detail, epoch, seq, meter_id, user_slot, raw, fingerprint, message_hash)
order by gateway_id, fingerprint
on conflict (gateway_id, fingerprint) do nothing
returning fingerprint;

-- name: count_day
-- What a gateway has put away today, row by row and beyond that; the first and the last beyond it stay as samples.
insert into quarantine_day as d (gateway_id, day, kept, beyond, first_reason, first_raw, first_at, last_reason, last_raw, last_at)
values (%(gateway_id)s, (now() at time zone 'UTC')::date, %(kept)s, %(beyond)s, %(first_reason)s, %(first_raw)s,
        case when %(beyond)s > 0 then now() end, %(last_reason)s, %(last_raw)s, case when %(beyond)s > 0 then now() end)
on conflict (gateway_id, day) do update
set kept = d.kept + excluded.kept, beyond = d.beyond + excluded.beyond,
    first_reason = coalesce(d.first_reason, excluded.first_reason), first_raw = coalesce(d.first_raw, excluded.first_raw),
    first_at = coalesce(d.first_at, excluded.first_at), last_reason = coalesce(excluded.last_reason, d.last_reason),
    last_raw = coalesce(excluded.last_raw, d.last_raw), last_at = coalesce(excluded.last_at, d.last_at);

-- name: suspend_impostors
-- Three different messages in the name of another gateway: its rows stay with it until a person has looked. Rows from before
-- messages were told apart are told apart by their detail.
update gateway g set state = 'suspended'
where g.gateway_id = any(%(gateway_ids)s) and g.state = 'active'
  and (select count(distinct coalesce(message_hash, convert_to(detail, 'UTF8'))) from quarantine q
       where q.gateway_id = g.gateway_id and q.reason = 'wrong_gateway' and q.resolved_at is null) >= %(messages)s
returning g.gateway_id;

-- name: binding_conflicts
-- Both sides of it: the patient's own meter read in another home, and a meter of somebody else read in the patient's.
select q.meter_id, q.gateway_id, m.is_own, min(q.received_at) as first_at, max(q.received_at) as last_at, count(*) as readings
from quarantine q
join lateral (select exists (select from meter_binding b
                             where b.meter_id = q.meter_id and b.patient_id = %(patient_id)s) as is_own) m on true
where q.reason = 'binding_conflict' and q.resolved_at is null
  and (m.is_own or exists (select from meter_binding b
                           where b.gateway_id = q.gateway_id and b.patient_id = %(patient_id)s and b.valid_to is null))
group by q.meter_id, q.gateway_id, m.is_own
order by last_at desc, q.meter_id, q.gateway_id;

-- name: list_open
-- The newest first; never what was measured.
select quarantine_id, gateway_id, reason, meter_id, user_slot, received_at
from quarantine
where resolved_at is null
order by received_at desc, quarantine_id desc
limit %(limit)s;

-- name: count_open
select count(*) from quarantine where resolved_at is null;

-- name: take_held
-- Readings of one meter that were refused for want of an owner, locked: of two releases the second finds them resolved.
select quarantine_id, gateway_id, meter_id, coalesce(seq, 0) as seq, raw, fingerprint, meter_id as holder_meter
from quarantine
where meter_id = %(meter_id)s and reason = any(%(reasons)s) and resolved_at is null
  and (%(user_slot)s::int is null or user_slot = %(user_slot)s::int)
order by quarantine_id
for update;

-- name: take_these
-- The same by their numbers.
select quarantine_id, gateway_id, meter_id, coalesce(seq, 0) as seq, raw, fingerprint, meter_id as holder_meter
from quarantine
where quarantine_id = any(%(quarantine_id)s) and reason = any(%(reasons)s) and resolved_at is null
order by quarantine_id
for update;

-- name: raws
-- Bytes of readings, whatever became of them.
select quarantine_id, gateway_id, meter_id, coalesce(seq, 0) as seq, raw, fingerprint, meter_id as holder_meter
from quarantine
where quarantine_id = any(%(quarantine_id)s) and meter_id is not null and raw <> ''
order by quarantine_id;

-- name: take_newer
-- What no build could read yet, of gateways that are listened to, locked, in the order in which it came: whole messages, and
-- readings of a kind that was not known; 0.1.0 had no reason of its own for these and said what the decoder says.
select q.quarantine_id, q.gateway_id, q.epoch, q.seq, q.raw, q.fingerprint, q.meter_id as holder_meter
from quarantine q join gateway g using (gateway_id)
where (q.reason = 'schema_newer' and q.seq is null
       or q.reason = 'kind_newer' and q.seq is not null
       or q.reason = 'decode:schema' and q.seq is not null and q.detail like 'Invalid value %%at `$.measurement.kind`')
  and q.resolved_at is null and g.state = 'active' and q.quarantine_id > %(after)s
order by q.quarantine_id
limit %(limit)s
for update of q;

-- name: mark_replayed
update quarantine set resolved_at = now(), resolved_by = %(by)s, released_as = 'replayed'
where quarantine_id = any(%(quarantine_id)s) and resolved_at is null;

-- name: mark_released
-- The bytes are the patient's now, sealed with the patient's key (`reading_raw`). Here they would outlive the patient.
update quarantine q set resolved_at = now(), resolved_by = %(by)s, released_as = t.released_as, raw = ''
from unnest(%(quarantine_id)s::bigint[], %(released_as)s::text[]) as t (quarantine_id, released_as)
where q.quarantine_id = t.quarantine_id and q.resolved_at is null;

-- name: settle_impostures
-- A person has looked at what a gateway said in another's name; the rows stay where and as counted as they are.
update quarantine set resolved_at = now(), resolved_by = %(by)s
where gateway_id = %(gateway_id)s and reason = 'wrong_gateway' and resolved_at is null;
