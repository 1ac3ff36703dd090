-- What a gateway says was answered, against what is here: after the database was set back to an earlier state.

-- name: standing
-- How many of the numbers 1 to kept are here, in how many spans the others lie, and what was asked for before.
select lost, asked, given_up,
       coalesce((select upper(r) - 1 from unnest(seen) r where r @> 1::int8), 0) as upto,
       (select coalesce(sum(upper(r) - lower(r)), 0)
        from unnest(seen * int8multirange(int8range(1, %(kept)s, '[]'))) r)::bigint as here,
       (select count(*) from unnest(int8multirange(int8range(1, %(kept)s, '[]')) - seen) r) as spans
from gateway_progress
where gateway_id = %(gateway_id)s and epoch = %(epoch)s
for update;

-- name: missing
select lower(r), upper(r) - 1
from unnest(int8multirange(int8range(1, %(kept)s, '[]'))
            - coalesce((select seen from gateway_progress where gateway_id = %(gateway_id)s and epoch = %(epoch)s), '{}')) r
order by r
offset %(skip)s limit %(limit)s;

-- name: forget_beyond
update gateway_progress
set seen = seen * int8multirange(int8range(1, %(kept)s, '[]'))
where gateway_id = %(gateway_id)s and epoch = %(epoch)s and upper(seen) - 1 > %(kept)s;

-- name: note
insert into gateway_progress as p (gateway_id, epoch, lost, asked, given_up)
values (%(gateway_id)s, %(epoch)s, %(lost)s, %(asked)s, %(given_up)s)
on conflict (gateway_id, epoch) do update
set lost = excluded.lost, asked = excluded.asked, given_up = excluded.given_up
where (p.lost, p.asked, p.given_up) <> (excluded.lost, excluded.asked, excluded.given_up);
