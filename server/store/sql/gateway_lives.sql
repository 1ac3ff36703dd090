-- name: spoke_last
-- The life that spoke last, if it was another, as its status has it: anything, for a gateway has written it.
select last_status #>> '{starts,life}', (last_status #>> '{starts,up_s}')::numeric from gateway
where gateway_id = %(gateway_id)s and last_status #>> '{starts,life}' <> %(life)s
  and length(last_status #>> '{starts,life}') <= 64
  and jsonb_typeof(last_status #> '{starts,up_s}') = 'number'
for update;

-- name: gave_way
insert into gateway_life as l (gateway_id, life, up_s, gave_way_at) values (%(gateway_id)s, %(life)s, %(up_s)s, now())
on conflict (gateway_id, life) do update set up_s = greatest(l.up_s, excluded.up_s), gave_way_at = now();

-- name: came_back
-- It has run on since it was heard last: not a message that was only delivered late or twice.
update gateway_life set returns = returns + 1
where gateway_id = %(gateway_id)s and life = %(life)s and up_s < %(up_s)s
returning (select coalesce(sum(returns), 0) + 1 from gateway_life
           where gateway_id = %(gateway_id)s and gave_way_at > now() - interval '1 hour');

-- name: forget
delete from gateway_life where gateway_id = %(gateway_id)s and gave_way_at < now() - interval '1 day';
