-- Whom somebody is to call. What a person asks for joins panel_member; the house's own (judge, plans) asks by patient.

-- name: lock_patient
-- One task is opened at a time for a patient, whoever opens it.
select pg_advisory_xact_lock(hashtextextended('homevigil follow-up', %(patient_id)s));

-- name: find_open
select follow_up_id, due_at from follow_up where patient_id = %(patient_id)s and state = 'open' for update;

-- name: open
insert into follow_up (patient_id, origin, opened_at, opened_by, due_at, assigned_to)
values (%(patient_id)s, %(origin)s, %(now)s, %(opened_by)s, %(due_at)s, %(assigned_to)s)
returning follow_up_id;

-- name: attach
-- Nothing if it is attached already.
insert into follow_up_episode (follow_up_id, episode_id, attached_at)
values (%(follow_up_id)s, %(episode_id)s, %(now)s)
on conflict do nothing
returning follow_up_id;

-- name: lock
-- What somebody is about to change, by who sees the patient. `zone` is the patient's, `doctor_id` the own doctor who can log in.
select f.follow_up_id, f.patient_id, f.version, f.state, f.attempts, f.assigned_to, f.due_at,
       coalesce((select zone from patient_zone z where z.patient_id = f.patient_id and z.valid_from <= %(now)s
                 order by valid_from desc limit 1), 'UTC') as zone,
       (select u.user_id from patient p join app_user u on u.user_id = p.doctor_id and u.active
        where p.patient_id = f.patient_id) as doctor_id
from follow_up f
where f.follow_up_id = %(follow_up_id)s
  and f.patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
for update of f;

-- name: lock_by_episode
-- The open task to which an alert is attached.
select f.follow_up_id, f.patient_id, f.version, f.state, f.attempts, f.assigned_to, f.due_at,
       coalesce((select zone from patient_zone z where z.patient_id = f.patient_id and z.valid_from <= %(now)s
                 order by valid_from desc limit 1), 'UTC') as zone,
       (select u.user_id from patient p join app_user u on u.user_id = p.doctor_id and u.active
        where p.patient_id = f.patient_id) as doctor_id
from follow_up f join follow_up_episode fe using (follow_up_id)
where fe.episode_id = %(episode_id)s and f.state = 'open'
for update of f;

-- name: lock_newest_of
select f.follow_up_id, f.patient_id, f.version, f.state, f.attempts, f.assigned_to, f.due_at,
       coalesce((select zone from patient_zone z where z.patient_id = f.patient_id and z.valid_from <= %(now)s
                 order by valid_from desc limit 1), 'UTC') as zone,
       (select u.user_id from patient p join app_user u on u.user_id = p.doctor_id and u.active
        where p.patient_id = f.patient_id) as doctor_id
from follow_up f
where f.follow_up_id = (select max(follow_up_id) from follow_up_episode where episode_id = %(episode_id)s)
  and exists (select from follow_up_event ev where ev.follow_up_id = f.follow_up_id and ev.act in ('called', 'closed')
              and ev.by_user = %(user_id)s and ev.at >= %(since)s)
for update of f;

-- name: is_anything_left
-- Whether another alert of this task is still open, or whether somebody wanted the task for other reasons.
select exists (
    select from follow_up_episode fe join episode e using (episode_id)
    where fe.follow_up_id = %(follow_up_id)s and fe.episode_id <> %(episode_id)s
      and e.state in ('active', 'acknowledged', 'snoozed')
) or exists (select from follow_up where follow_up_id = %(follow_up_id)s and origin <> 'alert');

-- name: is_untouched
-- Nobody has done anything about it, and all of its alerts have been taken back.
select not exists (select from follow_up_event where follow_up_id = %(follow_up_id)s and by_user is not null)
   and not exists (select from follow_up_episode fe join episode e using (episode_id)
                   where fe.follow_up_id = %(follow_up_id)s and fe.episode_id <> %(episode_id)s and e.state <> 'retracted')
   and (select origin = 'alert' from follow_up where follow_up_id = %(follow_up_id)s);

-- name: change
update follow_up
set due_at = %(due_at)s, assigned_to = %(assigned_to)s, attempts = %(attempts)s, is_for_doctor = %(is_for_doctor)s,
    version = version + 1
where follow_up_id = %(follow_up_id)s;

-- name: close
update follow_up
set state = 'closed', closed_at = %(now)s, closed_by = %(user_id)s, outcome = %(outcome)s, version = version + 1
where follow_up_id = %(follow_up_id)s;

-- name: reopen
update follow_up
set state = 'open', closed_at = null, closed_by = null, outcome = null, attempts = 0, is_for_doctor = false,
    due_at = %(due_at)s, version = version + 1
where follow_up_id = %(follow_up_id)s;

-- name: note_event
insert into follow_up_event (follow_up_id, patient_id, at, by_user, act, result, is_medication_changed, due_at, assigned_to,
                             outcome, note)
values (%(follow_up_id)s, %(patient_id)s, %(at)s, %(by_user)s, %(act)s, %(result)s, %(is_medication_changed)s, %(due_at)s,
        %(assigned_to)s, %(outcome)s, %(note)s);

-- name: colleagues
-- Who sees the patient and may be given the task.
select u.user_id, u.display_name as name, u.role
from panel_member m join app_user u using (user_id)
where m.patient_id = %(patient_id)s and u.active and u.role in ('doctor', 'nurse')
order by u.display_name, u.user_id;

-- name: list
-- By when they are due; today begins and ends by each patient's own clock. `reasons` are the alerts of the task, the most urgent first;
-- the last call comes from the task's life.
select f.follow_up_id, f.patient_id, i.identity as patient_name, i.identity as phone, p.language,
       coalesce(z.zone, 'UTC') as zone, f.state, f.origin, f.opened_at, o.display_name as opened_by, f.due_at,
       f.assigned_to, a.display_name as assigned_name, f.attempts, f.is_for_doctor, f.closed_at,
       c.display_name as closed_by, f.outcome, f.version,
       l.at as last_at, l.result as last_result, l.by_name as last_by,
       coalesce(r.reasons, '[]'::jsonb) as reasons, coalesce(r.urgency, 0) as urgency
from follow_up f
join panel_member m on m.patient_id = f.patient_id and m.user_id = %(user_id)s
join patient p on p.patient_id = f.patient_id
join patient_identity i on i.patient_id = f.patient_id
left join lateral (
    select zone from patient_zone where patient_id = f.patient_id and valid_from <= %(now)s
    order by valid_from desc limit 1
) z on true
left join app_user o on o.user_id = f.opened_by
left join app_user a on a.user_id = f.assigned_to
left join app_user c on c.user_id = f.closed_by
left join lateral (
    select ev.at, ev.result, u.display_name as by_name
    from follow_up_event ev left join app_user u on u.user_id = ev.by_user
    where ev.follow_up_id = f.follow_up_id and ev.act = 'called'
    order by ev.event_id desc limit 1
) l on true
left join lateral (
    select jsonb_agg(jsonb_build_object('episode_id', e.episode_id, 'rule_id', e.rule_id, 'priority', e.priority, 'state', e.state,
                                        'sentence', e.sentence)
                     order by e.state in ('active', 'acknowledged', 'snoozed') desc,
                              array_position(array['high', 'medium', 'low', 'information'], e.priority), e.opened_at desc) as reasons,
           max(4 - array_position(array['high', 'medium', 'low', 'information'], e.priority))
               filter (where e.state in ('active', 'acknowledged', 'snoozed')) as urgency
    from follow_up_episode fe join episode e using (episode_id)
    where fe.follow_up_id = f.follow_up_id
) r on true
where (%(state)s::text is null or f.state = %(state)s::text)
  and (%(follow_up_id)s::bigint is null or f.follow_up_id = %(follow_up_id)s::bigint)
  and (%(patient_id)s::bigint is null or f.patient_id = %(patient_id)s::bigint)
  and (%(assigned_to)s::bigint is null or f.assigned_to = %(assigned_to)s::bigint)
  and (%(due)s::text is null
       or f.due_at < (date_trunc('day', %(now)s::timestamptz at time zone coalesce(z.zone, 'UTC'))
                      + case when %(due)s::text = 'today' then interval '1 day' else interval '0' end)
                     at time zone coalesce(z.zone, 'UTC'))
  and (%(after_at)s::timestamptz is null or (f.due_at, f.follow_up_id) > (%(after_at)s::timestamptz, %(after_id)s::bigint))
order by f.due_at, f.follow_up_id
limit %(limit)s;

-- name: events
-- The life of a task that the caller may see, oldest first.
select ev.at, u.display_name as by_name, ev.act, ev.result, ev.is_medication_changed, ev.due_at,
       a.display_name as assigned_name, ev.outcome, ev.note, ev.patient_id
from follow_up_event ev
left join app_user u on u.user_id = ev.by_user
left join app_user a on a.user_id = ev.assigned_to
where ev.follow_up_id = %(follow_up_id)s
order by ev.event_id;
