-- name: note
insert into admission_event (at, act, gateway_id, by_login, asked_from, serial, detail)
values (%(at)s, %(act)s, %(gateway_id)s, %(by_login)s, %(asked_from)s, %(serial)s, %(detail)s);

-- name: note_refusal
-- Whoever knocks can make as many as they like: past so many in an hour the last says that there were more.
insert into admission_event (at, act, gateway_id, asked_from, serial, detail)
select %(at)s, %(act)s, %(gateway_id)s, %(asked_from)s, %(serial)s,
       case when n.noted = %(most)s - 1 then %(detail)s || %(and_more)s else %(detail)s end
from (select count(*) as noted from admission_event
      where act in ('claim_refused', 'renewal_refused') and at > %(at)s - interval '1 hour') n
where n.noted < %(most)s;

-- name: events
select event_id, at, act, gateway_id, by_login, asked_from, serial, detail from admission_event
where %(gateway_id)s::text is null or gateway_id = %(gateway_id)s::text
order by event_id desc limit %(most)s;

-- name: standings
-- Of every gateway, the certificate that it was given last, how many it has that are good, and until when a code is open.
select g.gateway_id, g.zone, g.state, g.enrolled_at, g.last_heard_at, c.serial as certificate_serial,
       c.not_after as certificate_ends_at, c.revoked_at as certificate_revoked_at,
       (select count(*) from gateway_certificate good
        where good.gateway_id = g.gateway_id and good.revoked_at is null and good.not_after > %(now)s) as good_certificates,
       (select expires_at from gateway_claim
        where gateway_id = g.gateway_id and expires_at > %(now)s and used_at is null and tries_left > 0
        order by claim_id desc limit 1) as claim_open_until
from gateway g
left join lateral (
    select serial, not_after, revoked_at from gateway_certificate where gateway_id = g.gateway_id
    order by issued_at desc, serial desc limit 1
) c on true
order by g.gateway_id;
