-- Accounts, sessions, login attempts, panels and patient links.

-- name: add_user
-- A new account; nothing if the login is taken.
insert into app_user (login, display_name, role, language, password_hash, created_at)
values (%(login)s, %(display_name)s, %(role)s, %(language)s, %(password_hash)s, %(now)s)
on conflict (login) do nothing
returning user_id;

-- name: bind_account
insert into patient_account (user_id, patient_id) values (%(user_id)s, %(patient_id)s);

-- name: set_password
update app_user set password_hash = %(password_hash)s where user_id = %(user_id)s;

-- name: list_users
select user_id, login, display_name, role, language, active from app_user order by login;

-- name: find_credentials
-- What a sign-in is checked against.
select user_id, password_hash from app_user where login = %(login)s and active;

-- name: lock_sign_in
-- Attempts on one login, and attempts from one address, are counted one after the other.
select pg_advisory_xact_lock(hashtextextended(%(what)s, 0));

-- name: count_failed_attempts
-- Failures of this login from this address, of this login from anywhere, and from this address whatever the login; the instant of
-- the earliest of each, and whether this login was signed in from here before.
select count(*) filter (where login = %(login)s and address = %(address)s and attempted_at > %(since)s) as here,
       min(attempted_at) filter (where login = %(login)s and address = %(address)s and attempted_at > %(since)s) as here_first,
       count(*) filter (where login = %(login)s) as account,
       min(attempted_at) filter (where login = %(login)s) as account_first,
       count(*) filter (where address = %(address)s and attempted_at > %(since)s) as place,
       min(attempted_at) filter (where address = %(address)s and attempted_at > %(since)s) as place_first,
       exists (select from login_attempt k
               where k.login = %(login)s and k.address = %(address)s and k.succeeded and k.attempted_at > %(known_since)s) as is_known
from login_attempt
where not succeeded and attempted_at > %(account_since)s and (login = %(login)s or address = %(address)s);

-- name: note_attempt
-- Counted as failed until the password has been found right.
insert into login_attempt (login, address, attempted_at, succeeded)
values (%(login)s, %(address)s, %(now)s, false);

-- name: note_success
update login_attempt set succeeded = true
where login = %(login)s and address = %(address)s and attempted_at = %(now)s;

-- name: forget_attempts
-- A failure matters for an hour; a day is kept for whoever asks what happened. A success says for longer where somebody is at home.
delete from login_attempt where attempted_at < %(before)s and (not succeeded or attempted_at < %(known_before)s);

-- name: count_asked
-- How often this way in was asked from this address without leading to a session, and when first.
select count(*) as asked, min(asked_at) as first_at from way_asked
where way = %(way)s and address = %(address)s and asked_at > %(since)s;

-- name: note_asked
insert into way_asked (way, address, asked_at) values (%(way)s, %(address)s, %(now)s);

-- name: forgive_asked
-- The latest requests, which have led to a session.
delete from way_asked where ctid in (
    select ctid from way_asked where way = %(way)s and address = %(address)s order by asked_at desc limit %(times)s
);

-- name: forget_asked
delete from way_asked where asked_at < %(before)s;

-- name: open_session
insert into user_session (token_hash, user_id, csrf_token, created_at, last_seen_at, expires_at, proved_at)
values (%(token_hash)s, %(user_id)s, %(csrf_token)s, %(now)s, %(now)s, %(expires_at)s, %(proved_at)s);

-- name: prove_session
-- Somebody has given the password again.
update user_session set proved_at = %(now)s where token_hash = %(token_hash)s;

-- name: find_session
-- A session in force, with its user; nothing when idle too long, past its end, or when the account was closed.
select s.token_hash, s.csrf_token, s.last_seen_at, s.expires_at, s.proved_at,
       u.user_id, u.login, u.display_name, u.role, u.language
from user_session s join app_user u using (user_id)
where s.token_hash = %(token_hash)s and u.active and s.expires_at > %(now)s and s.last_seen_at > %(idle_since)s;

-- name: sessions_in_force
-- Which of these sessions have not ended.
select s.token_hash
from user_session s join app_user u using (user_id)
where s.token_hash = any (%(token_hashes)s) and u.active and s.expires_at > %(now)s and s.last_seen_at > %(idle_since)s;

-- name: touch_session
update user_session set last_seen_at = %(now)s where token_hash = %(token_hash)s and last_seen_at < %(now)s;

-- name: close_session
delete from user_session where token_hash = %(token_hash)s;

-- name: close_other_sessions
delete from user_session where user_id = %(user_id)s and token_hash <> %(token_hash)s;

-- name: forget_sessions
-- Those that can never be used again.
delete from user_session where expires_at <= %(now)s or last_seen_at <= %(idle_since)s;

-- name: add_to_panel
insert into panel (user_id, patient_id) values (%(user_id)s, %(patient_id)s) on conflict do nothing;

-- name: is_on_panel
select exists (
    select from panel_member where user_id = %(user_id)s and patient_id = %(patient_id)s
) as is_on_panel;

-- name: is_on_panel_regularly
-- Not by a record opened in an emergency.
select exists (
    select from panel_regular where user_id = %(user_id)s and patient_id = %(patient_id)s
) as is_on_panel;

-- name: issue_patient_link
insert into patient_link (token_hash, patient_id, created_at, expires_at)
values (%(token_hash)s, %(patient_id)s, %(now)s, %(expires_at)s);

-- name: find_patient_link
select patient_id from patient_link
where token_hash = %(token_hash)s and revoked_at is null and expires_at > %(now)s;

-- name: revoke_patient_links
update patient_link set revoked_at = %(now)s
where patient_id = %(patient_id)s and revoked_at is null and expires_at > %(now)s;
