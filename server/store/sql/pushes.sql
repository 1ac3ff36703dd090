-- The queue of messages to people. A row is leased to one sender, then marked; nothing is deleted: it is the record of who was
-- told what, when.

-- name: cancel_unwanted
-- What a sender held when it was decided that nobody is to hear of it, and did not send: it is not tried again. What repeats is wanted
-- while nobody has acknowledged, an opening unless it was untrue.
update push s set state = 'cancelled', why = 'unwanted', cancelled_at = clock_timestamp()
from episode e
where s.episode_id = e.episode_id and s.state = 'pending' and coalesce(s.lease_until, '-infinity') <= now()
  and not push_is_wanted(s.kind, e.state, e.resolution);

-- name: cancel_expired
-- A reminder whose time is over is no longer one.
update push set state = 'cancelled'
where state = 'pending' and expires_at <= now() and coalesce(lease_until, '-infinity') <= now();

-- name: hold_for_group
-- One message about a patient to the same person in five minutes: what is not urgent waits until then. What is on its way just now
-- counts as told now.
update push s set due_at = g.told_at + interval '5 minutes', why = 'grouped'
from push h cross join lateral (
    select max(case when r.state = 'sent' then r.sent_at else now() end) as told_at from push r
    where r.patient_id = h.patient_id and r.recipient = h.recipient and r.channel = h.channel
      and r.kind in ('opening', 'reminder')
      and ((r.state = 'sent' and r.sent_at > now() - interval '5 minutes')
           or (r.state = 'pending' and r.lease_until > now()))
) g
where h.push_id = s.push_id and g.told_at is not null
  and s.state = 'pending' and s.channel = %(channel)s and s.due_at <= now() and push_is_groupable(s.kind, s.recipient, s.is_urgent)
  and s.retry_at is null and coalesce(s.lease_until, '-infinity') <= now();

-- name: take
-- Lease what is due to this sender alone; the lease outlives the channel's own timeout. The alert is locked too, so that nothing is
-- leased after a decision about it has been committed; one that is being decided about just now waits for the next look. Alerts go
-- before reminders of plans, which have none. What is to be told to the same person about the same patient goes as one: `together_with`
-- is the message that speaks for the others, which are taken beyond the limit.
with of_alerts as (
    select s.push_id, s.due_at, s.patient_id, s.recipient, push_is_groupable(s.kind, s.recipient, s.is_urgent) as is_groupable
    from push s join episode e using (episode_id)
    where s.state = 'pending' and s.channel = %(channel)s and s.due_at <= now()
      and coalesce(s.retry_at, '-infinity') <= now() and coalesce(s.lease_until, '-infinity') <= now()
      and push_is_wanted(s.kind, e.state, e.resolution)
    order by s.due_at, s.push_id
    limit %(limit)s
    for update of s skip locked
    for share of e skip locked
), mates as (
    select s.push_id, s.due_at, s.patient_id, s.recipient, true as is_groupable
    from push s join episode e using (episode_id)
    where s.state = 'pending' and s.channel = %(channel)s and s.due_at <= now()
      and coalesce(s.retry_at, '-infinity') <= now() and coalesce(s.lease_until, '-infinity') <= now()
      and push_is_wanted(s.kind, e.state, e.resolution) and push_is_groupable(s.kind, s.recipient, s.is_urgent)
      and (s.patient_id, s.recipient) in (select patient_id, recipient from of_alerts where is_groupable)
      and s.push_id not in (select push_id from of_alerts)
    for update of s skip locked
    for share of e skip locked
), grouped as (
    select push_id, case when is_groupable
                         then first_value(push_id) over (partition by patient_id, recipient, is_groupable order by due_at, push_id)
                         else push_id end as leader
    from (select * from of_alerts union all select * from mates) each
), of_plans as (
    select push_id, due_at from push
    where state = 'pending' and channel = %(channel)s and due_at <= now() and episode_id is null and expires_at > now()
      and coalesce(retry_at, '-infinity') <= now() and coalesce(lease_until, '-infinity') <= now()
    order by due_at, push_id
    limit greatest(0, %(limit)s - (select count(*) from of_alerts))
    for update skip locked
), mine as (
    select push_id, nullif(leader, push_id) as leader from grouped union all select push_id, null from of_plans
), leased as (
    update push set lease_until = now() + make_interval(secs => %(lease_s)s), attempts = attempts + 1, together_with = mine.leader
    from mine where push.push_id = mine.push_id
    returning push.*
)
select l.push_id, l.episode_id, l.patient_id, l.recipient, l.channel, l.kind, l.step, l.attempts, l.due_at, l.created_at,
       l.together_with, l.is_urgent, now() as now, coalesce(e.rule_id, '') as rule_id, coalesce(e.priority, 'information') as priority, w.webhook_id, w.url, w.secret,
       case when w.old_until > now() then w.old_secret end as old_secret,
       case when l.channel = 'webhook' then w.webhook_id is not null
            when l.recipient = 'patient' and l.channel = 'inbox' then
                exists (select from patient_link k
                        where k.patient_id = l.patient_id and k.revoked_at is null and k.expires_at > now())
                or exists (select from patient_account a join app_user u using (user_id)
                           where a.patient_id = l.patient_id and u.active)
                or exists (select from patient p where p.patient_id = l.patient_id and p.is_watchdog)
                -- Told by another way, which carries a link or asks for a call.
                or exists (select from push s
                           where s.patient_id = l.patient_id and s.recipient = 'patient' and s.channel <> 'inbox'
                             and s.episode_id is not distinct from l.episode_id and s.step = l.step
                             and (l.episode_id is not null or s.due_at = l.due_at) and s.state in ('pending', 'sent'))
            when l.recipient = 'patient' then true
            when l.recipient = 'clinic' then exists (
                select from panel_regular m join app_user u using (user_id) where m.patient_id = l.patient_id and u.active)
            else exists (
                select from panel_regular m join app_user u using (user_id)
                where m.patient_id = l.patient_id and u.active and l.recipient = 'user:' || u.user_id)
       end as is_reachable,
       l.recipient <> 'patient' or consent_in_force(l.patient_id, 'channels') as is_agreed
from leased l
left join episode e using (episode_id)
left join webhook w on l.channel = 'webhook' and l.recipient = 'clinic:' || w.webhook_id and w.active
order by l.due_at, l.push_id;

-- name: mark_sent
-- What was sent was sent, whatever was decided meanwhile.
update push set state = 'sent', sent_at = now(), lease_until = null, retry_at = null, last_error = null
where push_id = any(%(push_ids)s::uuid[]) and state in ('pending', 'cancelled', 'dead')
returning push_id;

-- name: retry
-- Only by the sender whose lease it is: `attempts` counts the leases.
update push set retry_at = now() + make_interval(secs => %(after_s)s), lease_until = null, last_error = %(error)s
where push_id = %(push_id)s and state = 'pending' and attempts = %(attempts)s;

-- name: bury
update push set state = %(state)s, lease_until = null, retry_at = null, last_error = %(error)s
where push_id = %(push_id)s and state = 'pending' and attempts = %(attempts)s;

-- name: decline
-- Nothing was sent, because it was not agreed to: as any other message without consent.
update push set state = 'cancelled', why = 'no_consent', cancelled_at = clock_timestamp(), lease_until = null, retry_at = null
where push_id = %(push_id)s and state = 'pending' and attempts = %(attempts)s;

-- name: lock_alert
select state, state = 'resolved' and resolved_by is null as is_over_by_readings from episode
where episode_id = %(episode_id)s for update;

-- name: next_step
-- The next step that is still to come, or that has just been taken.
select min(step) from push
where episode_id = %(episode_id)s and kind = 'escalation' and step > %(after_step)s and state in ('pending', 'sent');

-- name: hasten
update push set due_at = now()
where episode_id = %(episode_id)s and step = %(step)s and state = 'pending' and due_at > now();

-- name: text_for_desk
-- What a clinician was to read about the alert; of one that only the patient was to hear of, the message itself.
select coalesce((select d.text from push d
                 where d.episode_id = s.episode_id and d.channel = 'inbox' and d.recipient <> 'patient' and d.step >= 0
                 order by d.step desc limit 1),
                (select d.text from push d where d.episode_id = s.episode_id and d.channel = 'inbox'
                 and d.recipient = s.recipient and d.step = s.step), s.text)
from push s where s.push_id = %(push_id)s;

-- name: tell_desk_instead
insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at)
values (%(push_id)s, %(episode_id)s, %(patient_id)s, 'clinic', 'inbox', %(kind)s, %(step)s, %(text)s, now())
on conflict (episode_id, recipient, channel, step) do nothing;

-- name: ring
select pg_notify('push', '');

-- name: disable_webhook
update webhook set active = false where webhook_id = %(webhook_id)s and active;

-- name: disable_failing_webhook
-- Five days (Standard Webhooks: "disable after a number of days of failure"), and a call that was made before they began.
update webhook w set active = false
where webhook_id = %(webhook_id)s and active
  and exists (select from push s where s.recipient = 'clinic:' || w.webhook_id and s.channel = 'webhook'
              and s.state = 'dead' and s.created_at <= now() - interval '5 days')
  and not exists (select from push s where s.recipient = 'clinic:' || w.webhook_id and s.channel = 'webhook'
                  and s.state = 'sent' and s.sent_at > now() - interval '5 days');

-- name: rotate_webhook
-- In one statement: whatever is cut off, there is one secret in force, and the one before it for as long as was said.
update webhook set old_secret = secret, old_until = %(old_until)s, secret = %(secret)s where webhook_id = %(webhook_id)s;

-- name: switch_webhook
update webhook set active = %(is_on)s where webhook_id = %(webhook_id)s;

-- name: next_webhook
select nextval(pg_get_serial_sequence('webhook', 'webhook_id'));

-- name: add_webhook
insert into webhook (webhook_id, url, secret) overriding system value values (%(webhook_id)s, %(url)s, %(secret)s);

-- name: list_webhooks
select webhook_id, url, active from webhook order by webhook_id;
