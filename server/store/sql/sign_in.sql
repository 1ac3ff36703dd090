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

-- name: take_expected
-- Once: whose account an admin has said that this name of the house's own sign-in is.
delete from house_expected e using app_user u
where e.name = %(name)s and e.expires_at > %(now)s and u.user_id = e.user_id and u.active
returning e.user_id;

-- name: bind_identity
-- Nothing if the account is somebody else's there already or is closed, or if the person has another account.
insert into house_identity (issuer, subject, user_id, bound_at)
select %(issuer)s, %(subject)s, u.user_id, %(now)s from app_user u where u.user_id = %(user_id)s and u.active
on conflict do nothing
returning user_id;

-- name: end_identities
delete from house_identity where user_id = %(user_id)s;

-- name: forget_expected
-- Of this account, and what has ended.
delete from house_expected where user_id = %(user_id)s or expires_at <= %(now)s;

-- name: expect
-- Nothing if the name is expected for another account.
insert into house_expected (user_id, name, made_at, expires_at) values (%(user_id)s, %(name)s, %(now)s, %(expires_at)s)
on conflict do nothing
returning user_id;

-- name: house_tie
select (select min(bound_at) from house_identity where user_id = %(user_id)s) as bound_at,
       (select name from house_expected where user_id = %(user_id)s and expires_at > %(now)s) as expected;
