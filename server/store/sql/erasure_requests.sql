-- Wishes to erase somebody, what became of them, and codes for a record of one's own. Asked for by the house: who may, is said before.

-- name: ask
insert into erasure_request (patient_id, reason, asked_by, asked_at)
values (%(patient_id)s, %(reason)s, %(by)s, %(now)s)
on conflict (patient_id) where decision is null do nothing returning request_id;

-- name: request
select r.request_id, r.patient_id, r.reason, r.asked_by, a.login as asked_by_login, a.display_name as asked_by_name, r.asked_at,
       r.decision, d.display_name as decided_by_name, r.decided_at
from erasure_request r join app_user a on a.user_id = r.asked_by left join app_user d on d.user_id = r.decided_by
where r.request_id = %(request_id)s for update of r;

-- name: decide
update erasure_request set decision = %(decision)s, decided_by = %(by)s, decided_at = %(now)s where request_id = %(request_id)s;

-- name: requests
-- The newest first; of everybody, or of the patients of one user.
select r.request_id, r.patient_id, r.reason, r.asked_by, a.login as asked_by_login, a.display_name as asked_by_name, r.asked_at,
       r.decision, d.display_name as decided_by_name, r.decided_at
from erasure_request r join app_user a on a.user_id = r.asked_by left join app_user d on d.user_id = r.decided_by
where (%(user_id)s::bigint is null
       or exists (select from panel_member m where m.patient_id = r.patient_id and m.user_id = %(user_id)s::bigint))
  and (%(patient_id)s::bigint is null or r.patient_id = %(patient_id)s::bigint)
order by r.decision is not null, r.request_id desc limit %(limit)s;

-- name: erased
-- Who is kept under seal or gone, with what was found last when traces were looked for.
select e.patient_id, e.reason, a.display_name as asked_by, s.display_name as second, e.restricted_at, e.keep_until, e.destroyed_at,
       exists (select from erasure_search s where s.patient_id = e.patient_id) as is_looked_for, p.looked_at, p.traces, p.tables, p.files, p.broker_stores, p.places, p.unreached
from erasure e join app_user a on a.user_id = e.asked_by join app_user s on s.user_id = e.second
left join lateral (select * from erasure_proof p where p.patient_id = e.patient_id order by proof_id desc limit 1) p on true
order by e.erasure_id desc limit %(limit)s;

-- name: note_proof
insert into erasure_proof (patient_id, looked_at, traces, tables, files, broker_stores, places, unreached)
values (%(patient_id)s, %(looked_at)s, %(traces)s, %(tables)s, %(files)s, %(broker_stores)s, %(places)s, %(unreached)s);

-- name: add_search
insert into erasure_search (patient_id, asked_at, asked_by) values (%(patient_id)s, %(now)s, %(by)s)
on conflict (patient_id) do update set asked_at = excluded.asked_at, asked_by = excluded.asked_by returning search_id;

-- name: seal_search
update erasure_search set traces = %(traces)s where search_id = %(search_id)s;

-- name: take_search
select search_id, patient_id, asked_by, traces from erasure_search order by search_id limit 1 for update skip locked;

-- name: end_search
with gone as (
    delete from erasure_search where search_id = %(search_id)s
)
update data_key set wrapped = null, destroyed_at = %(now)s where holder = %(holder)s;

-- name: holds_of
select hold_id, made_by, made_at, until from legal_hold
where patient_id = %(patient_id)s and ended_at is null and until > %(now)s order by until, hold_id;

-- name: give_code
insert into record_code (patient_id, code_hash, given_by, ends_at) values (%(patient_id)s, %(code_hash)s, %(by)s, %(ends_at)s)
on conflict (patient_id) do update
set code_hash = excluded.code_hash, given_by = excluded.given_by, ends_at = excluded.ends_at, tries = 0;

-- name: try_code
-- Each try counts, whatever comes of it.
update record_code set tries = tries + 1 where patient_id = %(patient_id)s and ends_at > %(now)s and tries < %(tries)s
returning code_hash, given_by;

-- name: end_code
delete from record_code where patient_id = %(patient_id)s;
