-- name: lock
-- The document as it is, nobody else changing it until the transaction ends.
select revision, document, changed_at, published_at from gateway_config where gateway_id = %(gateway_id)s for update;

-- name: write
insert into gateway_config (gateway_id, revision, document, changed_at)
values (%(gateway_id)s, %(revision)s, %(document)s::jsonb, now())
on conflict (gateway_id) do update
set revision = excluded.revision, document = excluded.document, changed_at = excluded.changed_at, published_at = null;

-- name: unpublished
-- Only to gateways that are listened to; a few at a time.
select c.gateway_id, c.document from gateway_config c join gateway g using (gateway_id)
where c.published_at is null and g.state = 'active'
order by c.changed_at limit %(limit)s;

-- name: published
update gateway_config set published_at = now() where gateway_id = %(gateway_id)s and revision = %(revision)s;

-- name: publish_again
-- A gateway that names another revision has not been told, or the broker has told it something older.
update gateway_config set published_at = null
where gateway_id = %(gateway_id)s and revision <> %(revision)s and published_at < now() - %(patience)s::interval;

-- name: said
select last_heard_at, last_status -> 'config' as said from gateway where gateway_id = %(gateway_id)s;

-- name: keep_diagnosis
insert into gateway_diagnosis (gateway_id, request, document) values (%(gateway_id)s, %(request)s, %(document)s::jsonb)
on conflict (gateway_id, request) do update set document = excluded.document, received_at = now();

-- name: forget_diagnoses
delete from gateway_diagnosis where gateway_id = %(gateway_id)s and request not in (
    select request from gateway_diagnosis where gateway_id = %(gateway_id)s order by received_at desc limit %(kept)s);

-- name: diagnosis
select request, received_at, document from gateway_diagnosis where gateway_id = %(gateway_id)s
order by received_at desc limit 1;
