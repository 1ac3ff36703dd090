-- Passkeys, questions that are under way, and who of the house's own sign-in is which account.

-- name: ask
insert into sign_in_question (question_hash, purpose, user_id, kept, ends_at)
values (%(question_hash)s, %(purpose)s, %(user_id)s, %(kept)s, %(ends_at)s);

-- name: take_question
-- Once: nothing comes back the second time.
delete from sign_in_question
where question_hash = %(question_hash)s and purpose = %(purpose)s and user_id is not distinct from %(user_id)s and ends_at > %(now)s
returning kept;

-- name: forget_questions
delete from sign_in_question where ends_at <= %(now)s;

-- name: add_passkey
insert into passkey (passkey_id, user_id, public_key, sign_count, name, added_at)
values (%(passkey_id)s, %(user_id)s, %(public_key)s, %(sign_count)s, %(name)s, %(now)s)
on conflict do nothing
returning passkey_id;

-- name: list_passkeys
select passkey_id, user_id, public_key, sign_count, name, added_at, last_used_at from passkey
where user_id = %(user_id)s and removed_at is null
order by added_at, passkey_id;

-- name: lock_passkey
-- Of two answers at once the second sees what the first has counted.
select k.passkey_id, k.user_id, k.public_key, k.sign_count, k.name, k.added_at, k.last_used_at
from passkey k join app_user u using (user_id)
where k.passkey_id = %(passkey_id)s and k.removed_at is null and u.active
for update of k;

-- name: use_passkey
update passkey set sign_count = %(sign_count)s, last_used_at = %(now)s where passkey_id = %(passkey_id)s;

-- name: remove_passkey
update passkey set removed_at = %(now)s
where passkey_id = %(passkey_id)s and user_id = %(user_id)s and removed_at is null
returning passkey_id;

-- name: find_identity
select i.user_id from house_identity i join app_user u using (user_id)
where i.issuer = %(issuer)s and i.subject = %(subject)s and u.active;

-- name: bind_identity
-- At the first time; nothing if the account is somebody else's there already, or is closed.
insert into house_identity (issuer, subject, user_id, bound_at)
select %(issuer)s, %(subject)s, u.user_id, %(now)s from app_user u where u.login = %(login)s and u.active
on conflict do nothing
returning user_id;
