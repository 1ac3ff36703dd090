-- Which rules there are, which of them a clinician has approved, and what judges therefore.

-- name: add_version
insert into rule_version (rule_id, version, content, sha256) values (%(rule_id)s, %(version)s, %(content)s, %(sha256)s)
on conflict (rule_id, version) do nothing;

-- name: known
select rule_id, version, sha256 from rule_version where rule_id = any(%(rule_ids)s);

-- name: edition
select edition from rule_book;

-- name: in_force
select v.rule_id, v.version, v.content, v.sha256, a.sha256 as approved_sha256
from rule_approval a join rule_version v using (rule_id, version)
where a.ended_at is null
order by v.rule_id;

-- name: lock
-- One decision at a time, about whatever rule.
select edition from rule_book for update;

-- name: versions
-- Every version with what was decided about it last, by rule and the newest first.
select v.rule_id, v.version, v.content, v.sha256, v.first_seen_at, a.approval_id is not null as is_decided,
       a.approval_id is not null and a.ended_at is null as is_in_force, u.display_name as approved_by, a.approved_at, a.note,
       w.display_name as ended_by, a.ended_at
from rule_version v
left join lateral (
    select * from rule_approval o where o.rule_id = v.rule_id and o.version = v.version order by approval_id desc limit 1
) a on true
left join app_user u on u.user_id = a.approved_by
left join app_user w on w.user_id = a.ended_by
order by v.rule_id, v.version desc;

-- name: waiting
-- The newest version of a rule, about which nobody has decided yet.
select rule_id, version from (select rule_id, max(version) as version from rule_version group by rule_id) newest
where not exists (select from rule_approval a where a.rule_id = newest.rule_id and a.version = newest.version)
order by rule_id;

-- name: is_anything_in_force
select exists (select from rule_approval where ended_at is null);

-- name: end_in_force
update rule_approval set ended_at = %(now)s, ended_by = %(user_id)s where rule_id = %(rule_id)s and ended_at is null
returning version;

-- name: approve
insert into rule_approval (rule_id, version, sha256, approved_by, approved_at, note)
values (%(rule_id)s, %(version)s, %(sha256)s, %(user_id)s, %(now)s, %(note)s);

-- name: decide_against
insert into rule_approval (rule_id, version, sha256, approved_by, approved_at, note, ended_at, ended_by)
values (%(rule_id)s, %(version)s, %(sha256)s, %(user_id)s, %(now)s, %(note)s, %(now)s, %(user_id)s);

-- name: turn_page
-- What judges has changed: everybody is judged again by what judges now.
update rule_book set edition = edition + 1;

-- name: mark_everybody_due
insert into due (patient_id, due_at, since, reason)
select patient_id, now(), now(), 'rules' from patient where not is_watchdog order by patient_id;

-- name: ring
select pg_notify('due', '');
