-- Who did what, and who looked at whose record. Nothing is ever changed or deleted here.

-- name: note
insert into audit_entry (at, actor, act, patient_id, subject, detail)
values (%(at)s, %(actor)s, %(act)s, %(patient_id)s, %(subject)s, %(detail)s);

-- name: has_looked
-- Asked before anything is written, because most looks are at what was looked at a moment ago.
select 1 from audit_look
where actor = %(actor)s and patient_id = %(patient_id)s and kind = %(kind)s and noted_at > %(since)s;

-- name: look
-- One row for each who, whom and what. Of two requests at once one notes it.
insert into audit_look as l (actor, patient_id, kind, noted_at) values (%(actor)s, %(patient_id)s, %(kind)s, %(at)s)
on conflict (actor, patient_id, kind) do update set noted_at = excluded.noted_at where l.noted_at <= %(since)s
returning 1;

-- name: entries
select e.entry_id, e.at, e.actor, u.display_name as who, e.act, e.patient_id, e.subject, e.detail,
       (select l.seq from audit_link l where l.ledger = 'audit_entry' and l.key = e.entry_id::text and l.members is null
        limit 1) as seq
from audit_entry e
left join app_user u on e.actor = 'user:' || u.user_id
where (%(patient_id)s::bigint is null or e.patient_id = %(patient_id)s)
  and (%(actor)s::text is null or e.actor = %(actor)s)
  and (%(act)s::text is null or e.act = %(act)s or starts_with(e.act, %(area)s))
  and (%(since)s::timestamptz is null or e.at >= %(since)s)
  and (%(until)s::timestamptz is null or e.at < %(until)s)
  and (%(before)s::bigint is null or e.entry_id < %(before)s)
order by e.entry_id desc limit %(limit)s;

-- name: viewers
select e.actor, u.display_name as who, u.role, count(*) as times, min(e.at) as first_at, max(e.at) as last_at,
       array_agg(distinct e.subject order by e.subject) as kinds
from audit_entry e
left join app_user u on e.actor = 'user:' || u.user_id
where e.patient_id = %(patient_id)s and e.act = 'record.read'
group by e.actor, u.display_name, u.role
order by max(e.at) desc;

-- name: patient_of_episode
select patient_id from episode where episode_id = %(number)s::uuid;

-- name: patient_of_silence
select patient_id from silence where silence_id::text = %(number)s;

-- name: patient_of_follow_up
select patient_id from follow_up where follow_up_id = %(number)s::bigint;

-- name: patient_of_hold
select patient_id from legal_hold where hold_id::text = %(number)s;

-- name: patient_of_erasure_request
select patient_id from erasure_request where request_id::text = %(number)s;

-- name: has_patient
select 1 from patient where patient_id = %(patient_id)s;
