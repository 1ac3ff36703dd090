-- Accounts as whoever runs the clinic sees them, with their ways in. Asked by the house alone: of no patient but by number.

-- name: list
-- By login. `patients`: how many the account sees regularly.
select u.user_id, u.login, u.display_name, u.role, u.language, u.active, u.created_at, a.patient_id,
       (select count(*) from panel_regular r where r.user_id = u.user_id) as patients,
       (select count(*) from user_session s
        where s.user_id = u.user_id and s.expires_at > %(now)s and s.last_seen_at > %(idle_since)s) as sessions,
       (select count(*) from passkey k where k.user_id = u.user_id and k.removed_at is null) as passkeys,
       (select i.expires_at from invitation i where i.user_id = u.user_id and i.expires_at > %(now)s) as invited_until
from app_user u left join patient_account a using (user_id)
where (%(user_id)s::bigint is null or u.user_id = %(user_id)s)
  and (%(after)s::text is null or u.login > %(after)s)
  and (%(role)s::text is null or u.role = %(role)s)
  and (%(text)s::text is null or strpos(lower(u.login), lower(%(text)s)) > 0 or strpos(lower(u.display_name), lower(%(text)s)) > 0)
order by u.login limit %(limit)s;

-- name: lock
select login, role, active from app_user where user_id = %(user_id)s for update;

-- name: lock_admins
-- Locked in one order, so that of two admins who close each other's accounts at once one stays.
select user_id from app_user where role = 'admin' and active order by user_id for update;

-- name: set_active
update app_user set active = %(active)s where user_id = %(user_id)s;

-- name: set_role
update app_user set role = %(role)s where user_id = %(user_id)s;

-- name: set_name
update app_user set display_name = %(display_name)s where user_id = %(user_id)s;

-- name: end_glasses
-- What somebody has open in an emergency is a clinician's.
update break_glass set ended_at = %(now)s where user_id = %(user_id)s and ended_at is null and ends_at > %(now)s;

-- name: sessions
select created_at, last_seen_at, expires_at, coalesce(token_hash = %(own)s::bytea, false) as is_own from user_session
where user_id = %(user_id)s and expires_at > %(now)s and last_seen_at > %(idle_since)s
order by last_seen_at desc;

-- name: close_sessions
delete from user_session where user_id = %(user_id)s;

-- name: remove_passkeys
update passkey set removed_at = %(now)s where user_id = %(user_id)s and removed_at is null;

-- name: invite
insert into invitation (user_id, token_hash, made_at, expires_at) values (%(user_id)s, %(token_hash)s, %(now)s, %(expires_at)s)
on conflict (user_id) do update
set token_hash = excluded.token_hash, made_at = excluded.made_at, expires_at = excluded.expires_at;

-- name: uninvite
delete from invitation where user_id = %(user_id)s;

-- name: find_invitation
select u.user_id, u.login, u.display_name, u.language
from invitation i join app_user u using (user_id)
where i.token_hash = %(token_hash)s and i.expires_at > %(now)s and u.active;

-- name: take_invitation
-- Once: nothing comes back the second time.
delete from invitation i using app_user u
where i.token_hash = %(token_hash)s and i.expires_at > %(now)s and u.user_id = i.user_id and u.active
returning i.user_id;

-- name: has_account
select exists (select from patient_account where patient_id = %(patient_id)s);
