-- Silences: a patient's alerts tell no clinician for a while, for a reason, by somebody's word. They end by themselves.

-- name: add
-- Nothing if this person has used the key before.
insert into silence (patient_id, rule_id, reason, made_at, made_by, until, key)
values (%(patient_id)s, %(rule_id)s, %(reason)s, %(now)s, %(user_id)s, %(until)s, %(key)s)
on conflict (made_by, key) where key is not null do nothing
returning silence_id;

-- name: find_by_key
select silence_id from silence where made_by = %(user_id)s and key = %(key)s;

-- name: list
-- Those of the user's panel, the soonest to end first; with `open_at` only what is silent then.
select s.silence_id, s.patient_id, i.identity as patient_name, s.rule_id, s.reason, s.made_at, u.display_name as made_by, s.until,
       s.ended_at, v.display_name as ended_by, s.version
from silence s
join panel_member m on m.patient_id = s.patient_id and m.user_id = %(user_id)s
join patient_identity i on i.patient_id = s.patient_id
join app_user u on u.user_id = s.made_by
left join app_user v on v.user_id = s.ended_by
where (%(patient_id)s::bigint is null or s.patient_id = %(patient_id)s::bigint)
  and (%(silence_id)s::bigint is null or s.silence_id = %(silence_id)s::bigint)
  and (%(open_at)s::timestamptz is null or (s.ended_at is null and s.until > %(open_at)s::timestamptz))
order by s.until, s.silence_id;

-- name: lock
select version, patient_id, ended_at is null and until > %(now)s as is_open from silence
where silence_id = %(silence_id)s
  and patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
for update;

-- name: end
update silence set ended_at = %(now)s, ended_by = %(user_id)s, version = version + 1 where silence_id = %(silence_id)s;

-- name: mute
-- What was still to be told to clinicians of what is silent now. It stays in the ledger with why it was not sent.
update push s set state = 'cancelled', why = 'silenced', cancelled_at = clock_timestamp()
from episode e
where s.episode_id = e.episode_id and e.patient_id = %(patient_id)s and s.state = 'pending' and s.recipient <> 'patient'
  and s.kind in ('opening', 'reminder', 'escalation') and coalesce(s.lease_until, '-infinity') <= now()
  and (e.rule_id = %(rule_id)s or (%(rule_id)s::text is null and not e.rule_id = any(%(urgent)s::text[])));

-- name: in_force
-- Of one patient: by which rule (null: every rule that is not urgent), and until when.
select rule_id, max(until) as until from silence
where patient_id = %(patient_id)s and ended_at is null and until > %(now)s
group by rule_id;
