-- Research: projects, who has agreed, and what is given out of a record. Asked for by whoever runs the house.

-- name: next_project
select nextval(pg_get_serial_sequence('research_project', 'project_id'));

-- name: add_project
insert into research_project (project_id, name, purpose, key, asked_by, asked_at)
overriding system value
values (%(project_id)s, %(name)s, %(purpose)s, %(key)s, %(by)s, %(now)s)
on conflict (name) do nothing returning project_id;

-- name: project
select project_id, name, purpose, key, asked_by, asked_at, approved_by, approved_at, ended_at
from research_project where name = %(name)s for update;

-- name: projects
select p.project_id, p.name, p.purpose, a.login as asked_by, p.asked_at, b.login as approved_by, p.approved_at, p.ended_at,
       count(e.export_id) as exports, max(e.made_at) as last_export_at
from research_project p join app_user a on a.user_id = p.asked_by left join app_user b on b.user_id = p.approved_by
left join research_export e using (project_id)
group by p.project_id, a.login, b.login order by p.project_id;

-- name: approve
update research_project set approved_by = %(by)s, approved_at = %(now)s where project_id = %(project_id)s;

-- name: end
update research_project set ended_by = %(by)s, ended_at = %(now)s where project_id = %(project_id)s;

-- name: destroy_key
update data_key set wrapped = null, destroyed_at = %(now)s where holder = %(holder)s and wrapped is not null;

-- name: subjects
-- Who has agreed, with what others might know them by. The zone is the one in which they live now.
select p.patient_id, p.sex, p.conditions, p.enrolled_on, z.zone, i.identity as birth_date
from patient p
join patient_identity i using (patient_id)
join lateral (select zone from patient_zone z where z.patient_id = p.patient_id order by valid_from desc limit 1) z on true
where not p.is_watchdog and p.standing in ('active', 'paused') and consent_in_force(p.patient_id, 'research')
order by p.patient_id;

-- name: hold_consents
-- Whoever takes consent back waits until this transaction has ended.
select patient_id from patient where patient_id = any(%(patient_ids)s::bigint[]) order by patient_id for share;

-- name: no_longer
-- Who of these has taken it back meanwhile, or is kept under seal.
select p.patient_id from patient p
where p.patient_id = any(%(patient_ids)s::bigint[])
  and not (p.standing in ('active', 'paused') and consent_in_force(p.patient_id, 'research'));

-- name: alerts
-- By the patient's wall clock where they lived then. What was retracted was never there.
select e.rule_id, e.rule_version, e.priority, e.opened_at at time zone z.zone as opened_local,
       case when e.acknowledged_at < %(until)s then e.acknowledged_at at time zone z.zone end as acknowledged_local,
       case when e.resolved_at < %(until)s then e.resolved_at at time zone z.zone end as resolved_local,
       case when e.resolved_at < %(until)s then e.resolution end as resolution
from episode e
join lateral (select zone from patient_zone z where z.patient_id = e.patient_id
              order by z.valid_from <= e.opened_at desc, abs(extract(epoch from z.valid_from - e.opened_at)) limit 1) z on true
where e.patient_id = %(patient_id)s and e.state <> 'retracted' and e.opened_at < %(until)s
order by e.opened_at, e.rule_id;

-- name: note_export
insert into research_export (project_id, made_at, made_by, patients, readings, alerts, digest)
values (%(project_id)s, %(now)s, %(by)s, %(patients)s, %(readings)s, %(alerts)s, %(digest)s) returning export_id;

-- name: note_members
insert into research_member (project_id, patient_id, first_export)
select %(project_id)s, unnest(%(patient_ids)s::bigint[]), %(export_id)s
on conflict (project_id, patient_id) do nothing;

-- name: gone
-- Who was in what the project was given, and may not be in it any more.
select m.patient_id from research_member m join patient p using (patient_id)
where m.project_id = %(project_id)s
  and not (p.standing in ('active', 'paused') and consent_in_force(p.patient_id, 'research'))
order by m.patient_id;
