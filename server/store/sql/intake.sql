-- name: gateways
-- The state of each gateway that is enrolled, and the instant by which all of this transaction is dated.
select g.gateway_id, g.state from gateway g where g.gateway_id = any(%(gateway_ids)s);

-- name: now
select now();

-- name: bindings
-- Every binding that these meters ever had, with what bounds a believable time.
select b.meter_id, b.user_slot, b.gateway_id, b.patient_id, b.valid_from, b.valid_to, p.enrolled_on,
       p.standing = 'active' as is_watched
from meter_binding b join patient p using (patient_id)
where b.meter_id = any(%(meter_ids)s)
order by b.valid_from, b.binding_id;

-- name: make_room
-- Before anything else is locked, so that attaching a partition cannot meet another batch in a deadlock.
select reading_make_room(at) from unnest(%(months)s::timestamptz[]) as at;

-- name: claim
-- Decides repeats, alone. Sorted, so that two batches wait for each other in one order only.
insert into reading_seen (reading_id, content_hash, gateway_id)
select reading_id, content_hash, gateway_id
from unnest(%(reading_id)s::uuid[], %(content_hash)s::bytea[], %(gateway_id)s::text[])
     as t (reading_id, content_hash, gateway_id)
order by reading_id
on conflict do nothing
returning reading_id;

-- name: known_content
select reading_id, content_hash from reading_seen where reading_id = any(%(reading_id)s::uuid[]);

-- name: insert_readings
-- Rows come sorted by key. Never COPY, which cannot say `on conflict`. What is stored waits to be sealed, in the same statement.
with stored as (
insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, user_slot, systolic_mmhg,
                     diastolic_mmhg, mean_mmhg, pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal,
                     weight_kg, spo2_percent, temperature_celsius, unit_sent, meter_status, quality, quality_reasons,
                     time_quality, meter_time, clock_offset_s, zone, received_at, decoder)
select patient_id, kind, measured_at, reading_id, gateway_id, meter_id, user_slot, systolic_mmhg, diastolic_mmhg,
       mean_mmhg, pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal, weight_kg, spo2_percent,
       temperature_celsius, unit_sent, meter_status, quality,
       coalesce(string_to_array(nullif(quality_reasons, ''), ','), '{}'), time_quality, meter_time, clock_offset_s, zone,
       received_at, decoder
from unnest(%(patient_id)s::bigint[], %(kind)s::text[], %(measured_at)s::timestamptz[], %(reading_id)s::uuid[],
            %(gateway_id)s::text[], %(meter_id)s::text[], %(user_slot)s::smallint[], %(systolic_mmhg)s::float8[],
            %(diastolic_mmhg)s::float8[], %(mean_mmhg)s::float8[], %(pulse_bpm)s::float8[], %(glucose_mmol_l)s::float8[],
            %(glucose_mg_dl)s::float8[], %(glucose_censored)s::text[], %(meal)s::text[], %(weight_kg)s::float8[],
            %(spo2_percent)s::float8[], %(temperature_celsius)s::float8[], %(unit_sent)s::text[],
            %(meter_status)s::int[], %(quality)s::text[], %(quality_reasons)s::text[], %(time_quality)s::text[],
            %(meter_time)s::text[], %(clock_offset_s)s::float8[], %(zone)s::text[], %(received_at)s::timestamptz[],
            %(decoder)s::text[])
     as t (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, user_slot, systolic_mmhg, diastolic_mmhg,
           mean_mmhg, pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal, weight_kg, spo2_percent,
           temperature_celsius, unit_sent, meter_status, quality, quality_reasons, time_quality, meter_time,
           clock_offset_s, zone, received_at, decoder)
on conflict do nothing
returning patient_id, kind, measured_at, reading_id
), due as (
    insert into audit_due (ledger, key, patient_id, members)
    select 'reading', '', patient_id, array_agg(audit_member(kind, measured_at, reading_id) order by measured_at, reading_id)
    from stored group by patient_id
)
select reading_id from stored;

-- name: insert_raw
insert into reading_raw (reading_id, patient_id, raw, context_raw, sent)
select reading_id, patient_id, raw, context_raw, sent
from unnest(%(reading_id)s::uuid[], %(patient_id)s::bigint[], %(raw)s::bytea[], %(context_raw)s::bytea[], %(sent)s::bytea[])
     as t (reading_id, patient_id, raw, context_raw, sent)
on conflict do nothing;

-- name: mark_due
insert into due (patient_id, due_at, since, reason, quiet)
select patient_id, now(), since, 'reading', %(quiet)s
from unnest(%(patient_id)s::bigint[], %(since)s::timestamptz[]) as t (patient_id, since)
order by patient_id;

-- name: ring
select pg_notify('due', '');

-- name: account
insert into gateway_account as a (gateway_id, received, stored, repeated, quarantined)
select gateway_id, received, stored, repeated, quarantined
from unnest(%(gateway_id)s::text[], %(received)s::bigint[], %(stored)s::bigint[], %(repeated)s::bigint[],
            %(quarantined)s::bigint[]) as t (gateway_id, received, stored, repeated, quarantined)
order by gateway_id
on conflict (gateway_id) do update
set received = a.received + excluded.received, stored = a.stored + excluded.stored,
    repeated = a.repeated + excluded.repeated, quarantined = a.quarantined + excluded.quarantined;

-- name: turned_away
insert into gateway_account as a (gateway_id, turned_away)
select gateway_id, messages from unnest(%(gateway_id)s::text[], %(messages)s::bigint[]) as t (gateway_id, messages)
order by gateway_id
on conflict (gateway_id) do update set turned_away = a.turned_away + excluded.turned_away;

-- name: progress
-- Adds what was committed of one epoch; answers with the last seq before the first hole (0: the first is missing), and with
-- whether the epoch is new here. Without a hole the seqs are one range from 1 to the highest.
insert into gateway_progress as p (gateway_id, epoch, seen, hole_since)
select gateway_id, epoch, seen, case when seen <> int8multirange(int8range(1, upper(seen))) then now() end
from (select gateway_id, epoch, seen::int8multirange as seen
      from unnest(%(gateway_id)s::text[], %(epoch)s::text[], %(seen)s::text[]) as t (gateway_id, epoch, seen)) t
order by gateway_id, epoch
on conflict (gateway_id, epoch) do update
set seen = p.seen + excluded.seen, last_at = now(),
    hole_since = case when p.seen + excluded.seen <> int8multirange(int8range(1, upper(p.seen + excluded.seen)))
                      then coalesce(p.hole_since, now()) end
returning gateway_id, epoch, coalesce((select upper(r) - 1 from unnest(seen) r where r @> 1::int8), 0),
          first_at = now() and exists (select from gateway_progress o
                                       where o.gateway_id = p.gateway_id and o.epoch <> p.epoch);

-- name: forget_reused
-- A number that had come, and now names a reading that is new here, was given twice; unless what came with it first was
-- refused, and is the same reading, taken in at last.
update gateway_progress p
set seen = p.seen * int8multirange(int8range(1, r.first_seq))
from (select n.gateway_id, n.epoch, min(n.seq) as first_seq
      from unnest(%(gateway_id)s::text[], %(epoch)s::text[], %(seq)s::bigint[]) as n (gateway_id, epoch, seq)
      join gateway_progress known on known.gateway_id = n.gateway_id and known.epoch = n.epoch and known.seen @> n.seq
      where not exists (select from quarantine q
                        where q.gateway_id = n.gateway_id and q.epoch = n.epoch and q.seq = n.seq)
      group by n.gateway_id, n.epoch) r
where p.gateway_id = r.gateway_id and p.epoch = r.epoch
returning p.gateway_id, p.epoch, r.first_seq;

-- name: holes
-- What is missing below the highest number of an outbox, for those that have lacked it for long. Nobody waits for a gateway
-- that a person has shut out for good, nor for an outbox that was replaced and has been silent for 30 days, nor for numbers
-- that were lost here and that the gateway has not kept (which is an alarm of its own).
select p.gateway_id, p.epoch, p.hole_since, h.n, h.spans
from gateway_progress p
join gateway g using (gateway_id),
lateral (select sum(upper(r) - lower(r))::bigint as n,
                (array_agg(array[lower(r), upper(r) - 1] order by r))[:%(spans)s] as spans
         from unnest(int8multirange(int8range(1, upper(p.seen))) - p.seen) r) h
where p.hole_since < now() - %(older_than)s::interval and g.state <> 'revoked' and h.n > p.given_up
  and not (p.last_at < now() - interval '30 days'
           and exists (select from gateway_progress o where o.gateway_id = p.gateway_id and o.first_at > p.first_at))
order by p.gateway_id, p.epoch;

-- name: outbox_lives
-- Every outbox that was ever heard of, by gateway and age.
select gateway_id, epoch, first_at, last_at, hole_since, coalesce(upper(seen) - 1, 0) as highest,
       coalesce(upper(seen) - 1 - (select sum(upper(r) - lower(r)) from unnest(seen) r)::bigint, 0) as missing
from gateway_progress
where %(gateway_id)s::text is null or gateway_id = %(gateway_id)s
order by gateway_id, first_at, epoch;

-- name: heard
update gateway set last_heard_at = now(), first_heard_at = coalesce(first_heard_at, now())
where gateway_id = any(%(gateway_ids)s);

-- name: status
-- What a gateway says of itself; the broker's last will (`offline`) is not a sign of life, and takes nothing of it away.
update gateway
set last_status = case when %(status)s::jsonb ->> 'state' = 'offline' then coalesce(last_status, '{}') else '{}' end
                  || %(status)s::jsonb,
    last_heard_at = case when %(is_alive)s then now() else last_heard_at end,
    first_heard_at = case when %(is_alive)s then coalesce(first_heard_at, now()) else first_heard_at end
where gateway_id = %(gateway_id)s;

-- name: accounts
-- One statement, one snapshot: what was counted against what lies in the tables. What was released is a reading by now; what
-- came beyond a day's quarantine is only counted there.
select coalesce(a.gateway_id, s.gateway_id, q.gateway_id) as gateway_id,
       coalesce(a.received, 0) as received, coalesce(a.stored, 0) as stored, coalesce(a.repeated, 0) as repeated,
       coalesce(a.quarantined, 0) as quarantined,
       coalesce(s.n, 0) as rows_stored, coalesce(q.n, 0) + coalesce(b.n, 0) as rows_quarantined
from gateway_account a
full join (select gateway_id, count(*) as n from reading group by gateway_id) s using (gateway_id)
full join (select gateway_id, count(*) as n from quarantine where released_as is null group by gateway_id) q
       on q.gateway_id = coalesce(a.gateway_id, s.gateway_id)
left join (select gateway_id, sum(beyond)::bigint as n from quarantine_day group by gateway_id) b
       on b.gateway_id = coalesce(a.gateway_id, s.gateway_id, q.gateway_id)
order by 1;

-- name: sums
-- The arithmetic alone: cheap enough for every minute, however many readings there are.
select gateway_id, received, stored, repeated, quarantined, stored as rows_stored, quarantined as rows_quarantined
from gateway_account order by 1;
