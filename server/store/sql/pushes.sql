-- The queue of messages to people. A row is leased to one sender, then marked; nothing is deleted: it is the record of who was
-- told what, when.

-- name: cancel_retracted
-- What was taken back while a sender was at it and failed: it is not tried again.
update push set state = 'cancelled'
from episode e
where push.episode_id = e.episode_id and push.state = 'pending' and push.step >= 0 and e.state = 'retracted'
  and coalesce(push.lease_until, '-infinity') <= now();

-- name: take
-- Lease what is due to this sender alone; the lease outlives the channel's own timeout.
with mine as (
    select push_id from push
    where state = 'pending' and channel = %(channel)s and due_at <= now()
      and coalesce(retry_at, '-infinity') <= now() and coalesce(lease_until, '-infinity') <= now()
    order by due_at, push_id
    limit %(limit)s
    for update skip locked
), leased as (
    update push set lease_until = now() + make_interval(secs => %(lease_s)s), attempts = attempts + 1
    from mine where push.push_id = mine.push_id
    returning push.*
)
select l.push_id, l.episode_id, l.patient_id, l.recipient, l.step, l.attempts, l.due_at, l.created_at, now() as now,
       e.rule_id, e.priority, w.webhook_id, w.url, w.secret
from leased l
join episode e using (episode_id)
left join webhook w on l.channel = 'webhook' and l.recipient = 'clinic:' || w.webhook_id and w.active
order by l.due_at, l.push_id;

-- name: mark_sent
update push set state = 'sent', sent_at = now(), lease_until = null, retry_at = null, last_error = null
where push_id = any(%(push_ids)s::uuid[]) and state = 'pending'
returning push_id;

-- name: retry
update push set retry_at = now() + make_interval(secs => %(after_s)s), lease_until = null, last_error = %(error)s
where push_id = %(push_id)s and state = 'pending';

-- name: bury
update push set state = 'dead', lease_until = null, retry_at = null, last_error = %(error)s
where push_id = %(push_id)s and state = 'pending';

-- name: disable_webhook
update webhook set active = false where webhook_id = %(webhook_id)s and active;

-- name: add_webhook
insert into webhook (url, secret) values (%(url)s, %(secret)s) returning webhook_id;

-- name: list_webhooks
select webhook_id, url, active from webhook order by webhook_id;
