-- Quarantine as one person sees it. Asked by the house: each statement says itself whom it shows to whom. Nothing of it was measured.

-- name: seen
-- What somebody of the panel may have measured, the newest first: what waits, or, where `ids` names rows, those in whatever state.
-- `near`: whose it may be, of the panel; `is_whole`: nobody else's.
select q.quarantine_id, q.gateway_id, coalesce(g.zone, 'UTC') as zone, q.reason, q.meter_id, q.user_slot, q.received_at,
       q.resolved_at, q.resolved_by, q.released_as, q.set_aside_as, n.near, n.is_whole
from quarantine q left join gateway g using (gateway_id)
cross join lateral (
    select array_agg(near.patient_id order by near.patient_id) filter (where m.patient_id is not null) as near,
           bool_and(m.patient_id is not null) as is_whole
    from quarantine_near(q.gateway_id, q.meter_id, q.user_slot, q.received_at, q.received_at) as near (patient_id)
    left join panel_member m on m.patient_id = near.patient_id and m.user_id = %(user_id)s
) n
where case when %(ids)s::bigint[] is not null then q.quarantine_id = any(%(ids)s::bigint[])
           when %(is_set_aside)s then q.set_aside_as is not null
           else q.resolved_at is null end
  and (%(ids)s::bigint[] is not null
       or q.gateway_id = any(array(select b.gateway_id from meter_binding b join panel_member m using (patient_id)
                                   where m.user_id = %(user_id)s
                                   union
                                   select h.gateway_id from gateway_home h join panel_member m using (patient_id)
                                   where m.user_id = %(user_id)s))
       or q.meter_id = any(array(select b.meter_id from meter_binding b join panel_member m using (patient_id)
                                 where m.user_id = %(user_id)s)))
  and n.near is not null
  and (%(before)s::bigint is null or q.quarantine_id < %(before)s)
order by q.quarantine_id desc limit %(limit)s;

-- name: of_nobody
-- For whoever runs the house: what is nobody's, and what is about a message or a gateway and no person, without the meter.
select q.quarantine_id, q.gateway_id, coalesce(g.zone, 'UTC') as zone, q.reason,
       case when q.reason = any(%(of_persons)s) then q.meter_id end as meter_id,
       case when q.reason = any(%(of_persons)s) then q.user_slot end as user_slot,
       q.received_at, q.resolved_at, q.resolved_by, q.released_as, q.set_aside_as, array[]::bigint[] as near, false as is_whole
from quarantine q left join gateway g using (gateway_id)
where case when %(ids)s::bigint[] is not null then q.quarantine_id = any(%(ids)s::bigint[])
           when %(is_set_aside)s then q.set_aside_as is not null
           else q.resolved_at is null end
  and (q.reason <> all(%(of_persons)s)
       or not exists (select from quarantine_near(q.gateway_id, q.meter_id, q.user_slot, q.received_at, q.received_at)))
  and (%(before)s::bigint is null or q.quarantine_id < %(before)s)
order by q.quarantine_id desc limit %(limit)s;

-- name: visible
-- Which of these the walls show to whoever asks.
select quarantine_id from quarantine where quarantine_id = any(%(ids)s);

-- name: lock
-- In order, so that two who settle the same rows wait for each other.
select quarantine_id from quarantine where quarantine_id = any(%(ids)s) order by quarantine_id for update;

-- name: waiting_of_slot
-- Readings that wait for an owner, of one slot of one meter in one home.
select quarantine_id from quarantine
where gateway_id = %(gateway_id)s and meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s
  and reason = any(%(reasons)s) and resolved_at is null
order by quarantine_id limit %(limit)s;

-- name: may_be_strangers
-- Of these, what may have been measured by somebody whom the user does not see, by when it was measured.
select q.quarantine_id
from unnest(%(ids)s::bigint[], %(measured_at)s::timestamptz[]) as t (quarantine_id, measured_at)
join quarantine q using (quarantine_id)
where exists (
    select from quarantine_near(q.gateway_id, q.meter_id, q.user_slot, least(t.measured_at, q.received_at), q.received_at)
        as near (patient_id)
    where not exists (select from panel_member m where m.patient_id = near.patient_id and m.user_id = %(user_id)s));

-- name: patient
select patient_id, enrolled_on, standing from patient where patient_id = %(patient_id)s and not is_watchdog;

-- name: set_aside
update quarantine set resolved_at = %(now)s, resolved_by = %(by)s, set_aside_as = %(reason)s
where quarantine_id = any(%(ids)s) and resolved_at is null;

-- name: open_again
update quarantine set resolved_at = null, resolved_by = null, set_aside_as = null
where quarantine_id = any(%(ids)s) and set_aside_as is not null;
