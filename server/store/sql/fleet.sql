-- The facts from which the states of the fleet are said: gateways, meters, patients, and the house itself. Nothing is decided
-- here. The watchdog patient is nobody's, its gateway no home's. Null in a scope means all.

-- name: lock_round
-- One watcher at a time; of two rounds at once the second would only say the same.
select pg_try_advisory_xact_lock(hashtextextended('homevigil watch states', 0));

-- name: gateways
-- `was_away_until`: until when it was last not heard, if that was long; what it collects now may be of the time before.
select g.gateway_id, g.zone, g.state as standing, g.enrolled_at, g.last_heard_at, g.last_status as status,
       coalesce(a.received, 0) as received, coalesce(a.stored, 0) as stored, coalesce(a.repeated, 0) as repeated,
       coalesce(a.quarantined, 0) as quarantined,
       (select max(cleared_at) from alarm
        where kind = 'gateway_unheard' and subject = g.gateway_id
          and cleared_at - raised_at >= %(long_away)s::interval) as was_away_until
from gateway g
left join gateway_account a using (gateway_id)
where (%(gateway_ids)s::text[] is null or g.gateway_id = any(%(gateway_ids)s::text[]))
  and not exists (select from meter_binding b join patient p using (patient_id)
                  where b.gateway_id = g.gateway_id and p.is_watchdog)
order by g.gateway_id;

-- name: meters
-- Every meter that is bound now, with the newest reading measured since `since`, whoever's of its patients it is, and whatever a
-- clinician has said of it: the meter has measured. One pass over the readings of that time: a look for each meter alone costs more
-- than all together.
with bound as (
    select b.meter_id, b.gateway_id, b.patient_id, b.valid_from
    from meter_binding b join patient p on p.patient_id = b.patient_id and not p.is_watchdog
    where b.valid_to is null
      and (%(gateway_ids)s::text[] is null or b.gateway_id = any(%(gateway_ids)s::text[]))
), newest as (
    select patient_id, meter_id, max(measured_at) as last_at
    from reading
    where measured_at > %(since)s
      and (%(gateway_ids)s::text[] is null or patient_id = any(array(select patient_id from bound)))
    group by patient_id, meter_id
)
select b.meter_id, b.gateway_id, array_agg(distinct b.patient_id order by b.patient_id) as patient_ids,
       min(b.valid_from) as bound_since, max(n.last_at) as last_measured_at, %(since)s::timestamptz as searched_since
from bound b left join newest n using (patient_id, meter_id)
group by b.meter_id, b.gateway_id
order by b.gateway_id, b.meter_id;

-- name: held
-- What lies in quarantine, by where it was read and with what; meter_id is null where no reading could be made out.
select gateway_id, meter_id, reason, count(*) as rows, min(received_at) as first_at, max(received_at) as last_at
from quarantine
where resolved_at is null
  and (%(gateway_ids)s::text[] is null or gateway_id = any(%(gateway_ids)s::text[])
       or meter_id = any(%(meter_ids)s::text[]))
group by gateway_id, meter_id, reason
order by gateway_id, meter_id, reason;

-- name: patients
-- `covered_since`: since when somebody has had a meter without a break; null: has none now, and `gateway_ids` and `meter_ids`
-- are then those of the last binding. Who has measured lately is found in one pass; for the others each kind of reading is looked
-- up from its newest end: a kind that somebody never had takes a look into every month that there is. What a clinician has said is
-- not this patient's does not show that the patient has measured; what was moved here does.
with lately as (
    select patient_id, max(measured_at) as last_measured_at,
           max(measured_at) filter (where quality = 'accepted') as last_accepted_at
    from reading_in_use
    where measured_at > %(now)s - interval '2 days' and kind = any(%(kinds)s::text[])
    group by patient_id
), binding as (
    select b.patient_id,
           array_agg(distinct b.gateway_id) filter (where b.valid_to is null) as gateways,
           array_agg(distinct b.meter_id) filter (where b.valid_to is null) as meters,
           (array_agg(b.gateway_id order by b.valid_to desc nulls first, b.binding_id desc))[1] as last_gateway,
           (array_agg(b.meter_id order by b.valid_to desc nulls first, b.binding_id desc))[1] as last_meter,
           range_agg(tstzrange(b.valid_from, b.valid_to)) as spans
    from meter_binding b
    group by b.patient_id
)
select p.patient_id, p.created_at, coalesce(z.zone, 'UTC') as zone,
       coalesce(b.gateways, array_remove(array[b.last_gateway], null)) as gateway_ids,
       coalesce(b.meters, array_remove(array[b.last_meter], null)) as meter_ids,
       (select lower(span) from unnest(b.spans) span where upper(span) is null) as covered_since,
       coalesce(n.last_measured_at, greatest(r.last_measured_at, m.last_measured_at)) as last_measured_at,
       coalesce(n.last_accepted_at, greatest(r.last_accepted_at, m.last_accepted_at)) as last_accepted_at
from patient p
left join binding b using (patient_id)
left join lately n using (patient_id)
left join lateral (
    select zone from patient_zone where patient_id = p.patient_id and valid_from <= %(now)s
    order by valid_from desc limit 1
) z on true
left join lateral (
    select max(l.measured_at) as last_measured_at, max(a.measured_at) as last_accepted_at
    from unnest(%(kinds)s::text[]) k (kind)
    left join lateral (
        select measured_at from reading g
        where patient_id = p.patient_id and kind = k.kind and n.last_accepted_at is null
          and not exists (select from reading_elsewhere where stored_as = g.patient_id and reading_id = g.reading_id)
        order by measured_at desc limit 1
    ) l on true
    left join lateral (
        select measured_at from reading g
        where patient_id = p.patient_id and kind = k.kind and quality = 'accepted' and l.measured_at is not null
          and not exists (select from reading_elsewhere where stored_as = g.patient_id and reading_id = g.reading_id)
        order by measured_at desc limit 1
    ) a on true
) r on true
left join lateral (
    select max(g.measured_at) as last_measured_at,
           max(g.measured_at) filter (where g.quality = 'accepted') as last_accepted_at
    from reading_elsewhere e
    join reading g on g.patient_id = e.stored_as and g.kind = e.kind and g.measured_at = e.measured_at
                      and g.reading_id = e.reading_id
    where e.patient_id = p.patient_id and e.kind = any(%(kinds)s::text[])
) m on true
where not p.is_watchdog
  and (%(gateway_ids)s::text[] is null or b.gateways && %(gateway_ids)s::text[]
       or p.patient_id = any(%(patient_ids)s::bigint[]))
order by p.patient_id;

-- name: hearing
-- How well the house hears as a whole, its watchdog's gateway among the others.
select max(last_heard_at) as last_heard_at,
       count(*) filter (where last_heard_at > %(now)s - %(within)s::interval) as heard_lately
from gateway where state = 'active';

-- name: judging
-- A reading is due at once: one whose due time lies ahead was postponed, because judging its patient broke.
select min(due_at) filter (where due_at <= %(now)s) as oldest_due_at,
       count(*) filter (where due_at <= %(now)s) as due_rows,
       coalesce(array_agg(distinct patient_id) filter (where reason = 'reading' and due_at > %(now)s and not is_watchdog), '{}')
from due join patient using (patient_id);

-- name: waiting_pushes
-- What should have been sent, by channel. What nobody is to hear of any more is not missed.
select s.channel, count(*) as pushes, min(s.due_at) as oldest_due_at
from push s join episode e using (episode_id)
where s.state = 'pending' and s.due_at <= %(now)s and push_is_wanted(s.kind, e.state, e.resolution)
group by s.channel order by s.channel;

-- name: scope
-- What somebody may see of the fleet: the homes of their panel. A meter in conflict is seen at both of its homes.
with mine as (
    select b.gateway_id, b.meter_id
    from meter_binding b join panel_member m using (patient_id)
    where m.user_id = %(user_id)s and b.valid_to is null
)
select coalesce((select array_agg(distinct gateway_id) from mine), '{}') as gateway_ids,
       coalesce((select array_agg(distinct meter_id) from (
           select meter_id from mine
           union
           select q.meter_id from quarantine q
           where q.reason = 'binding_conflict' and q.resolved_at is null and q.meter_id is not null
             and q.gateway_id in (select gateway_id from mine)
       ) seen), '{}') as meter_ids,
       coalesce((select array_agg(m.patient_id) from panel_member m join patient p using (patient_id)
                 where m.user_id = %(user_id)s and not p.is_watchdog), '{}') as patient_ids;

-- name: names
select p.patient_id, i.identity
from panel_member m join patient p using (patient_id) join patient_identity i using (patient_id)
where m.user_id = %(user_id)s and not p.is_watchdog;

-- name: pushes_of
-- Whom these messages are about.
select push_id::text, patient_id from push where push_id::text = any(%(push_ids)s::text[]);

-- name: see
-- A person has looked at what happened; not if it has happened again since it was shown.
update alarm set cleared_at = clock_timestamp(), cleared_by = %(login)s
where alarm_id = %(alarm_id)s and times = %(times)s and cleared_at is null
returning alarm_id;

-- name: count_pushes
-- Of people: the watchdog's come and go.
select s.channel, s.state, count(*) as pushes
from push s join patient p using (patient_id)
where not p.is_watchdog
group by s.channel, s.state order by s.channel, s.state;
