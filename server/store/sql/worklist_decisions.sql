-- What a clinician's decision about an alert writes.

-- name: lock_alert
-- What a decision is weighed against. The row stays locked until the decision is written.
select e.version, e.state
from episode e
where e.episode_id = %(episode_id)s
  and e.patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
for update of e;

-- name: last_decision
-- Who decided about it last; asked after the lock, so that a decision just made is seen.
select t.at as changed_at, u.display_name as changed_by
from episode_transition t join app_user u on u.user_id = t.by_user
where t.episode_id = %(episode_id)s
order by t.transition_id desc
limit 1;

-- name: acknowledge
update episode
set state = 'acknowledged', acknowledged_at = %(now)s, acknowledged_by = %(user_id)s, version = version + 1
where episode_id = %(episode_id)s
returning version;

-- name: resolve
-- Whoever closes an alert that nobody has acknowledged has thereby acknowledged it.
update episode
set state = 'resolved', resolved_at = %(now)s, resolved_by = %(user_id)s, resolution = %(resolution)s,
    acknowledged_at = coalesce(acknowledged_at, %(now)s), acknowledged_by = coalesce(acknowledged_by, %(user_id)s),
    version = version + 1
where episode_id = %(episode_id)s
returning version;

-- name: cancel_repeated_pushes
-- Somebody has it: nobody is told again, nor is the next in line. The opening stays, so that the record says who was told. A
-- message that is on its way just now is left to its sender, who notes what becomes of it and does not try again.
update push set state = 'cancelled'
where episode_id = %(episode_id)s and state = 'pending' and kind in ('reminder', 'escalation')
  and coalesce(lease_until, '-infinity') <= now();

-- name: cancel_all_pushes
-- It was not so: nobody is told any more. That it was taken back before is still told.
update push set state = 'cancelled'
where episode_id = %(episode_id)s and state = 'pending' and kind <> 'retraction'
  and coalesce(lease_until, '-infinity') <= now();

-- name: note_transition
insert into episode_transition (episode_id, at, from_state, to_state, by_user, reason)
values (%(episode_id)s, %(now)s, %(from_state)s, %(to_state)s, %(user_id)s, %(reason)s);
