-- What lies in quarantine, and its way out. Rows are never deleted.

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
select quarantine_id, gateway_id, meter_id, coalesce(seq, 0) as seq, raw
from quarantine
where meter_id = %(meter_id)s and reason = any(%(reasons)s) and resolved_at is null
  and (%(user_slot)s::int is null or user_slot = %(user_slot)s::int)
order by quarantine_id
for update;

-- name: mark_released
update quarantine q set resolved_at = now(), resolved_by = %(by)s, released_as = t.released_as
from unnest(%(quarantine_id)s::bigint[], %(released_as)s::text[]) as t (quarantine_id, released_as)
where q.quarantine_id = t.quarantine_id and q.resolved_at is null;

-- name: settle_impostures
-- A person has looked at what a gateway said in another's name; the rows stay where and as counted as they are.
update quarantine set resolved_at = now(), resolved_by = %(by)s
where gateway_id = %(gateway_id)s and reason = 'wrong_gateway' and resolved_at is null;
