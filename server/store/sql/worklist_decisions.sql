-- What a clinician's decision about an alert writes.

-- name: lock_alert
-- What a decision is weighed against. The row stays locked until the decision is written.
select e.version, e.state, e.patient_id, e.priority, e.answer_by, u.role, episode_standing(e) as standing
from episode e join app_user u on u.user_id = %(user_id)s
where e.episode_id = %(episode_id)s
  and e.patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
for update of e;

-- name: last_change
-- Who decided about it last; asked after the lock, so that a decision just made is seen.
select t.at as changed_at, u.display_name as changed_by
from episode_transition t join app_user u on u.user_id = t.by_user
where t.episode_id = %(episode_id)s
order by t.transition_id desc
limit 1;

-- name: find_by_key
-- What this person has asked for under this key before.
select episode_id, asked from decision where user_id = %(user_id)s and key = %(key)s;

-- name: last_decision
-- The newest decision about the alert, and whether nothing has happened to the alert since: no step of its life, no other standing.
select d.decision_id, d.user_id, d.act, d.at, d.standing_was,
       d.standing_is = %(standing)s::jsonb
       and d.transition_id = (select max(t.transition_id) from episode_transition t where t.episode_id = d.episode_id)
           as is_untouched
from decision d
where d.episode_id = %(episode_id)s
order by d.decision_id desc
limit 1;

-- name: acknowledge
update episode
set state = 'acknowledged', acknowledged_at = %(now)s, acknowledged_by = %(user_id)s, snoozed_until = null,
    snoozed_or_worse = false, snoozed_by = null, seen = null, version = version + 1
where episode_id = %(episode_id)s;

-- name: snooze
-- Whoever puts it to sleep has seen it, and has thereby decided; what was on the screen is kept, to be compared with.
update episode
set state = 'snoozed', snoozed_until = %(until)s, snoozed_or_worse = %(or_worse)s, snoozed_by = %(user_id)s,
    seen = jsonb_build_object('priority', priority, 'numbers', verdict),
    acknowledged_at = coalesce(acknowledged_at, %(now)s), acknowledged_by = coalesce(acknowledged_by, %(user_id)s),
    version = version + 1
where episode_id = %(episode_id)s;

-- name: resolve
-- Whoever closes an alert that nobody has acknowledged has thereby acknowledged it.
update episode
set state = 'resolved', resolved_at = %(now)s, resolved_by = %(user_id)s, resolution = %(resolution)s,
    is_useful = coalesce(%(is_useful)s::boolean, is_useful),
    acknowledged_at = coalesce(acknowledged_at, %(now)s), acknowledged_by = coalesce(acknowledged_by, %(user_id)s),
    snoozed_until = null, snoozed_or_worse = false, snoozed_by = null, seen = null, version = version + 1
where episode_id = %(episode_id)s;

-- name: rate
update episode set is_useful = %(is_useful)s, version = version + 1 where episode_id = %(episode_id)s;

-- name: touch
-- Something was added to its biography: whoever read it before has not read that.
update episode set version = version + 1 where episode_id = %(episode_id)s;

-- name: note_answer
-- An urgent alert asks for a decision within a time; this is the first.
update episode set answered_at = %(now)s, answered_by = %(user_id)s
where episode_id = %(episode_id)s and answer_by is not null and answered_at is null;

-- name: restore
-- As it stood before the decision that is undone; whatever the readings have changed meanwhile stays.
update episode e
set state = was.state, acknowledged_at = was.acknowledged_at, acknowledged_by = was.acknowledged_by,
    resolved_at = was.resolved_at, resolved_by = was.resolved_by, resolution = was.resolution,
    snoozed_until = was.snoozed_until, snoozed_or_worse = was.snoozed_or_worse, snoozed_by = was.snoozed_by, seen = was.seen,
    is_useful = was.is_useful, answered_at = was.answered_at, answered_by = was.answered_by, version = e.version + 1
from jsonb_populate_record(null::episode, %(standing)s::jsonb) was
where e.episode_id = %(episode_id)s;

-- name: cancel_repeated_pushes
-- Somebody has it: nobody is told again, nor is the next in line. The opening stays, so that the record says who was told. A
-- message that is on its way just now is left to its sender, who notes what becomes of it and does not try again.
update push set state = 'cancelled', why = 'decided', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind in ('reminder', 'escalation')
  and coalesce(lease_until, '-infinity') <= now()
returning push_id;

-- name: cancel_all_pushes
-- It was not so: nobody is told any more. That it was taken back before is still told.
update push set state = 'cancelled', why = 'decided', cancelled_at = clock_timestamp()
where episode_id = %(episode_id)s and state = 'pending' and kind <> 'retraction'
  and coalesce(lease_until, '-infinity') <= now()
returning push_id;

-- name: name_canceller
update push set cancelled_by = %(decision_id)s where push_id = any(%(push_ids)s::uuid[]);

-- name: let_go
-- What the undone decision had cancelled is to be sent after all, and what a sender held then and gave up because of it.
update push set state = 'pending', why = null, cancelled_by = null, cancelled_at = null
where episode_id = %(episode_id)s and state = 'cancelled'
  and (cancelled_by = %(decision_id)s
       or (why = 'unwanted'
           and cancelled_at >= (select written_at from decision where decision_id = %(decision_id)s)));

-- name: note_transition
insert into episode_transition (episode_id, at, from_state, to_state, by_user, reason, note)
values (%(episode_id)s, %(now)s, %(from_state)s, %(to_state)s, %(user_id)s, %(reason)s, %(note)s)
returning transition_id;

-- name: note_decision
-- Nothing if the key was used for another alert at the same moment.
insert into decision (episode_id, patient_id, user_id, act, at, key, asked, version, standing_was, standing_is, transition_id, undoes)
select e.episode_id, e.patient_id, %(user_id)s, %(act)s, %(now)s, %(key)s, %(asked)s, e.version, %(standing_was)s,
       episode_standing(e), %(transition_id)s, %(undoes)s
from episode e where e.episode_id = %(episode_id)s
on conflict (user_id, key) where key is not null do nothing
returning decision_id;

-- name: make_due
-- The judge looks at the patient then: to wake what sleeps, to plan anew what was undone.
insert into due (patient_id, due_at, since, reason) values (%(patient_id)s, %(due_at)s, %(since)s, %(reason)s);

-- name: ring_judge
select pg_notify('due', '');

-- name: ring_senders
select pg_notify('push', '');
