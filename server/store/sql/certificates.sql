-- name: end_claims
update gateway_claim set expires_at = %(now)s where gateway_id = %(gateway_id)s and expires_at > %(now)s;

-- name: take_back_claim
update gateway_claim set expires_at = %(now)s
where gateway_id = %(gateway_id)s and expires_at > %(now)s and used_at is null and tries_left > 0
returning claim_id;

-- name: open_claims
select gateway_id, made_by, made_at, expires_at, tries_left from gateway_claim
where expires_at > %(now)s and used_at is null and tries_left > 0
order by made_at desc, gateway_id;

-- name: add_home
insert into gateway_home (gateway_id, patient_id, said_by, valid_from)
values (%(gateway_id)s, %(patient_id)s, %(said_by)s, %(now)s)
on conflict (gateway_id, patient_id) where valid_to is null do nothing
returning home_id;

-- name: end_home
update gateway_home set valid_to = greatest(%(now)s, valid_from)
where gateway_id = %(gateway_id)s and patient_id = %(patient_id)s and valid_to is null
returning home_id;

-- name: homes
-- By number: whoever hands out boxes sees no name.
select gateway_id, patient_id, said_by, valid_from from gateway_home
where valid_to is null order by gateway_id, patient_id;

-- name: add_claim
insert into gateway_claim (gateway_id, code_hash, made_by, made_at, expires_at, tries_left)
values (%(gateway_id)s, %(code_hash)s, %(made_by)s, %(now)s, %(expires_at)s, %(tries)s);

-- name: take_try
-- One statement, so that of any number who try at once no two share a try.
update gateway_claim set tries_left = tries_left - 1
where claim_id = (select max(claim_id) from gateway_claim where gateway_id = %(gateway_id)s)
  and expires_at > %(now)s and tries_left > 0
returning claim_id, code_hash, serial;

-- name: give_back_try
update gateway_claim set tries_left = tries_left + 1 where claim_id = %(claim_id)s;

-- name: use_claim
update gateway_claim set used_at = %(now)s, serial = %(serial)s where claim_id = %(claim_id)s and used_at is null
returning claim_id;

-- name: add_certificate
insert into gateway_certificate (serial, gateway_id, key_hash, certificate, not_before, not_after, issued_at, renewed_from)
values (%(serial)s, %(gateway_id)s, %(key_hash)s, %(certificate)s, %(not_before)s, %(not_after)s, %(issued_at)s,
        %(renewed_from)s);

-- name: certificate
select serial, gateway_id, key_hash, certificate, not_before, not_after, revoked_at from gateway_certificate
where serial = %(serial)s;

-- name: newest
-- Locked with its gateway, so that two renewals at once are one after the other.
select c.serial, c.gateway_id, c.key_hash, c.certificate, c.not_before, c.not_after, c.revoked_at
from gateway_certificate c join gateway g using (gateway_id)
where c.gateway_id = %(gateway_id)s
order by c.issued_at desc, c.serial desc limit 1
for update of g;

-- name: revoke
update gateway_certificate set revoked_at = %(now)s
where gateway_id = %(gateway_id)s and revoked_at is null and serial is distinct from %(except_serial)s
returning serial;

-- name: revoked
select serial, revoked_at from gateway_certificate where revoked_at is not null and not_after > %(now)s order by serial;
