-- What clinicians and patients read. Every statement that meets a patient joins panel_member, or is asked with a patient
-- whom the door has found there (the patient's own page).

-- name: list_alerts
-- Newest first; a cursor is the last row seen.
select e.episode_id, e.patient_id, i.identity as patient_name, e.rule_id, e.rule_version, e.threshold_version, e.state,
       e.priority, e.first_day, e.last_day, e.opened_at, e.judged_at, e.acknowledged_at,
       a.display_name as acknowledged_by, e.resolved_at, r.display_name as resolved_by, e.resolution, e.verdict,
       e.sentence, e.version, e.snoozed_until, e.snoozed_or_worse, s.display_name as snoozed_by, e.is_useful,
       e.inhibited_by, e.known_at, e.answer_by, e.answered_at, w.display_name as answered_by,
       case when d.user_id = %(user_id)s and d.act <> 'undo' then d.at + interval '10 seconds' end as undo_until
from episode e
join panel_member m using (patient_id)
join patient_identity i using (patient_id)
left join app_user a on a.user_id = e.acknowledged_by
left join app_user r on r.user_id = e.resolved_by
left join app_user s on s.user_id = e.snoozed_by
left join app_user w on w.user_id = e.answered_by
left join lateral (
    select user_id, act, at from decision where episode_id = e.episode_id order by decision_id desc limit 1
) d on true
where m.user_id = %(user_id)s
  and (%(states)s::text[] is null or e.state = any (%(states)s::text[]))
  and (%(priorities)s::text[] is null or e.priority = any (%(priorities)s::text[]))
  and (%(patient_id)s::bigint is null or e.patient_id = %(patient_id)s::bigint)
  and (%(episode_id)s::uuid is null or e.episode_id = %(episode_id)s::uuid)
  and (%(before_at)s::timestamptz is null or (e.opened_at, e.episode_id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
order by e.opened_at desc, e.episode_id desc
limit %(limit)s;

-- name: list_open_versions
-- What is open on the panel, so that a page may find out whether it shows it.
select e.patient_id, e.episode_id, e.version
from episode e join panel_member m using (patient_id)
where m.user_id = %(user_id)s and e.state in ('active', 'acknowledged', 'snoozed');

-- name: list_transitions
select t.at, t.from_state, t.to_state, t.reason, u.display_name as by_name, t.note, e.patient_id
from episode_transition t join episode e using (episode_id) left join app_user u on u.user_id = t.by_user
where t.episode_id = %(episode_id)s
order by t.transition_id;

-- name: list_pushes
-- Who was told what, when, by which way.
select s.push_id, s.episode_id, s.recipient, u.display_name as recipient_name, s.channel, s.step, s.text, s.state,
       s.due_at, s.sent_at, s.read_at, s.attempts, e.rule_id, e.priority, s.why
from push s
join episode e using (episode_id)
left join app_user u on s.recipient = 'user:' || u.user_id
where s.patient_id = %(patient_id)s and (%(episode_id)s::uuid is null or s.episode_id = %(episode_id)s::uuid)
order by coalesce(s.sent_at, s.due_at) desc, s.push_id
limit %(limit)s;

-- name: find_untold
-- How the last message to the patient fared (of one alert, or of all and of what plans remind of), if it was not told.
select at, is_unwanted from (
    select coalesce(s.sent_at, s.due_at) as at, s.state, s.state = 'cancelled' as is_unwanted
    from push s
    where s.patient_id = %(patient_id)s and s.recipient = 'patient' and s.channel = 'inbox'
      and (%(episode_id)s::uuid is null or s.episode_id = %(episode_id)s::uuid)
      and (s.state in ('sent', 'withdrawn', 'dead', 'undeliverable') or s.why = 'no_consent' and s.kind <> 'plan')
    order by at desc, s.push_id
    limit 1
) last
where state in ('dead', 'undeliverable', 'cancelled');

-- name: list_inbox
-- What has reached one recipient's inbox, or the clinic's about a patient without an active doctor, which is in the inbox of
-- everybody who sees the patient; newest first. A patient taken off the panel takes the messages along. What went together is one
-- message, which names the others.
select s.push_id, s.episode_id, s.patient_id, i.identity as patient_name, s.step, s.text, s.state, s.sent_at, s.read_at,
       coalesce(e.priority, 'information') as priority, coalesce(e.rule_id, '') as rule_id, s.recipient = 'clinic' as is_for_clinic,
       (select coalesce(jsonb_agg(jsonb_build_object('episode_id', o.episode_id, 'text', o.text) order by o.due_at, o.push_id), '[]')
        from push o where o.together_with = s.push_id and o.state in ('sent', 'withdrawn')) as others
from push s
left join episode e using (episode_id)
join patient_identity i on i.patient_id = s.patient_id
join panel_member m on m.patient_id = s.patient_id and m.user_id = %(user_id)s
where s.recipient in (%(recipient)s, 'clinic') and s.channel = 'inbox' and s.state in ('sent', 'withdrawn')
  and s.together_with is null
  and (%(before_at)s::timestamptz is null or (s.sent_at, s.push_id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
order by s.sent_at desc, s.push_id desc
limit %(limit)s;

-- name: mark_inbox_read
-- Who reads what was sent to the clinic has read it for all.
update push s set read_at = %(now)s
from panel_member m
where m.patient_id = s.patient_id and m.user_id = %(user_id)s
  and s.recipient in (%(recipient)s, 'clinic') and s.channel = 'inbox' and s.read_at is null
  and s.state in ('sent', 'withdrawn') and (s.push_id = any (%(push_ids)s) or s.together_with = any (%(push_ids)s));

-- name: count_unread
select count(*)
from push s join panel_member m on m.patient_id = s.patient_id and m.user_id = %(user_id)s
where s.recipient in (%(recipient)s, 'clinic') and s.channel = 'inbox' and s.state = 'sent' and s.read_at is null
  and s.together_with is null;

-- name: list_patient_messages
-- The patient's own inbox, with what a plan reminds of, which is of no alert.
select s.push_id, s.episode_id, s.step, s.text, s.state, s.sent_at, coalesce(e.priority, 'information') as priority,
       coalesce(e.rule_id, '') as rule_id
from push s left join episode e using (episode_id)
where s.patient_id = %(patient_id)s and s.recipient = 'patient' and s.channel = 'inbox'
  and s.state in ('sent', 'withdrawn')
order by s.sent_at desc, s.push_id desc
limit %(limit)s;

-- name: list_panel
-- Every patient whom the user sees, with what is known about the last readings and the assessing of them.
select p.patient_id, i.identity as name, p.sex, i.identity as birth_date, i.identity as phone, p.language, p.enrolled_on, p.conditions,
       coalesce(z.zone, 'UTC') as zone, r.last_at, r.last_stored_at, coalesce(r.readings, 0) as readings,
       w.since as waiting_since
from panel_member m
join patient p using (patient_id)
join patient_identity i using (patient_id)
left join lateral (
    select zone from patient_zone where patient_id = p.patient_id and valid_from <= %(now)s
    order by valid_from desc limit 1
) z on true
left join lateral (
    select max(measured_at) as last_at, max(stored_at) as last_stored_at, count(*) as readings
    from reading_in_use
    where patient_id = p.patient_id and measured_at > %(since)s and measured_at <= %(now)s + interval '1 day'
) r on true
left join lateral (
    select min(due_at) as since from due where patient_id = p.patient_id and due_at <= %(now)s
) w on true
where m.user_id = %(user_id)s and (%(patient_ids)s::bigint[] is null or p.patient_id = any (%(patient_ids)s::bigint[]))
order by p.patient_id;

-- name: find_patient
-- Whose page this is. The link is the permission.
select p.patient_id, i.identity as name, p.language, coalesce(z.zone, 'UTC') as zone
from patient p
join patient_identity i using (patient_id)
left join lateral (
    select zone from patient_zone where patient_id = p.patient_id and valid_from <= %(now)s
    order by valid_from desc limit 1
) z on true
where p.patient_id = %(patient_id)s;

-- name: list_thresholds
-- The patients' own thresholds in force.
select distinct on (patient_id, rule_id) patient_id, rule_id, version, parameters
from patient_threshold
where patient_id = any (%(patient_ids)s)
order by patient_id, rule_id, version desc;

-- name: is_alive
select 1;
