-- Programs that read in the name of an account, and their bulk exports.

-- name: add_program
insert into program (program_id, user_id, keys, added_at)
select %(program_id)s, u.user_id, %(keys)s, %(now)s from app_user u where u.login = %(login)s and u.active
on conflict (program_id) do update set user_id = excluded.user_id, keys = excluded.keys, added_at = excluded.added_at, removed_at = null
returning user_id;

-- name: remove_program
update program set removed_at = %(now)s where program_id = %(program_id)s and removed_at is null returning program_id;

-- name: list_programs
select p.program_id, u.login, u.active and p.removed_at is null as is_active, p.added_at, p.removed_at,
       jsonb_array_length(p.keys -> 'keys') as keys
from program p join app_user u using (user_id)
order by p.program_id;

-- name: find_program
select p.program_id, p.user_id, p.keys from program p join app_user u using (user_id)
where p.program_id = %(program_id)s and p.removed_at is null and u.active;

-- name: use_assertion
-- Once: nothing comes back the second time.
insert into program_assertion (program_id, jti, ends_at) values (%(program_id)s, %(jti)s, %(ends_at)s)
on conflict do nothing
returning jti;

-- name: forget_assertions
delete from program_assertion where ends_at < %(now)s;

-- name: add_export
insert into bulk_export (export_id, user_id, kinds, since, until, ends_at)
values (%(export_id)s, %(user_id)s, %(kinds)s, %(since)s, %(until)s, %(ends_at)s)
on conflict (export_id) do nothing;

-- name: find_export
select export_id, user_id, kinds, since, until, ends_at from bulk_export
where export_id = %(export_id)s and user_id = %(user_id)s and ended_at is null and ends_at > %(now)s;

-- name: end_export
update bulk_export set ended_at = %(now)s
where export_id = %(export_id)s and user_id = %(user_id)s and ended_at is null and ends_at > %(now)s
returning export_id;
