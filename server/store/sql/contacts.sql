-- The ways to people outside the house. A channel's secrets and a person's address are sealed before they come here.

-- name: list_channels
select channel_id, kind, service, name, wants_address, added_at, added_by,
       (select count(*) from contact c where c.channel_id = h.channel_id) as contacts
from channel h where removed_at is null order by channel_id;

-- name: find_channel
select channel_id, kind, service, name, wants_address from channel where channel_id = %(channel_id)s and removed_at is null;

-- name: next_channel
select nextval(pg_get_serial_sequence('channel', 'channel_id'));

-- name: add_channel
insert into channel (channel_id, kind, service, name, address, wants_address, added_at, added_by) overriding system value
values (%(channel_id)s, %(kind)s, %(service)s, %(name)s, %(address)s, %(wants_address)s, %(now)s, %(by)s);

-- name: channel_address
select address from channel where channel_id = %(channel_id)s and removed_at is null;

-- name: remove_channel
update channel set removed_at = %(now)s, address = null where channel_id = %(channel_id)s and removed_at is null;

-- name: forget_channel
delete from contact where channel_id = %(channel_id)s;

-- name: next_contact
select nextval(pg_get_serial_sequence('contact', 'contact_id'));

-- name: add_contact
insert into contact (contact_id, patient_id, user_id, channel_id, address, lowest, only_next, added_at, added_by)
values (%(contact_id)s, %(patient_id)s, %(user_id)s, %(channel_id)s, %(address)s, %(lowest)s, %(only_next)s, %(now)s, %(by)s);

-- name: list_contacts
-- One owner's: the patient's, the user's or, with neither, the desk's.
select c.contact_id, c.patient_id, c.user_id, c.channel_id, h.kind, h.service, h.name as channel, c.address, c.lowest, c.only_next
from contact c join channel h using (channel_id)
where c.patient_id is not distinct from %(patient_id)s and c.user_id is not distinct from %(user_id)s and h.removed_at is null
order by c.contact_id;

-- name: remove_contact
delete from contact
where contact_id = %(contact_id)s and patient_id is not distinct from %(patient_id)s and user_id is not distinct from %(user_id)s
returning contact_id;

-- name: forget_browsers
delete from contact c using channel h
where h.channel_id = c.channel_id and h.kind = 'webpush'
  and c.patient_id is not distinct from %(patient_id)s and c.user_id is not distinct from %(user_id)s;

-- name: cancel_without_way
-- What waited for a way that is gone, and for which there is no other of its kind.
update push s set state = 'cancelled', why = 'unwanted', cancelled_at = clock_timestamp()
where s.state = 'pending' and s.channel not in ('inbox', 'webhook') and coalesce(s.lease_until, '-infinity') <= now()
  and not exists (
    select from contact c join channel h using (channel_id)
    where h.kind = s.channel and h.removed_at is null
      and case when s.recipient = 'patient' then c.patient_id = s.patient_id
               when s.recipient = 'clinic' then c.patient_id is null and c.user_id is null
               else s.recipient = 'user:' || c.user_id end);

-- name: kinds_of
-- By which kinds of channel a recipient wants to be told of something this urgent; `is_next`: nobody has acknowledged.
select distinct h.kind from contact c join channel h using (channel_id)
where h.removed_at is null
  and case when %(recipient)s = 'patient' then c.patient_id = %(patient_id)s
           when %(recipient)s = 'clinic' then c.patient_id is null and c.user_id is null
           else c.patient_id is null and %(recipient)s = 'user:' || c.user_id end
  and array_position(array['information', 'low', 'medium', 'high'], c.lowest)
      <= array_position(array['information', 'low', 'medium', 'high'], %(priority)s)
  and (%(is_next)s or not c.only_next)
order by 1;

-- name: places_of
-- Every place of that kind where a recipient is reached, with the language to speak there.
select c.contact_id, c.patient_id, c.user_id, c.channel_id, h.kind, h.address as url, c.address, c.mark, c.link, c.link_until,
       coalesce(p.language, u.language, 'zh') as language
from contact c join channel h using (channel_id)
left join patient p on p.patient_id = c.patient_id
left join app_user u on u.user_id = c.user_id
where h.removed_at is null and h.kind = %(kind)s
  and case when %(recipient)s = 'patient' then c.patient_id = %(patient_id)s
           when %(recipient)s = 'clinic' then c.patient_id is null and c.user_id is null
           else c.patient_id is null and %(recipient)s = 'user:' || c.user_id end
order by c.contact_id;

-- name: place
select c.contact_id, c.patient_id, c.user_id, c.channel_id, h.kind, h.address as url, c.address, c.mark, c.link, c.link_until,
       coalesce(p.language, u.language, 'zh') as language
from contact c join channel h using (channel_id)
left join patient p on p.patient_id = c.patient_id
left join app_user u on u.user_id = c.user_id
where h.removed_at is null and c.contact_id = %(contact_id)s
  and c.patient_id is not distinct from %(patient_id)s and c.user_id is not distinct from %(user_id)s;

-- name: keep_link
update contact set link = %(link)s, link_until = %(until)s where contact_id = %(contact_id)s;

-- name: note_attempt
insert into push_attempt (push_id, patient_id, channel_id, target, at, status, elapsed_ms, answer)
values (%(push_id)s, %(patient_id)s, %(channel_id)s, %(target)s, %(at)s, %(status)s, %(elapsed_ms)s, %(answer)s);

-- name: list_attempts
select a.push_id, a.channel_id, h.name as channel, a.target, a.at, a.status, a.elapsed_ms, a.answer
from push_attempt a join channel h using (channel_id)
where a.push_id = any(%(push_ids)s::uuid[]) order by a.attempt_id;

-- name: queue_of_no_alert
-- Beside a message about no alert, by the same text, another way to the same recipient.
insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at, expires_at)
select %(push_id)s, null, s.patient_id, s.recipient, %(channel)s, s.kind, s.step, s.text, %(now)s, %(expires_at)s
from push s where s.push_id = %(beside)s
on conflict (push_id) do nothing;
