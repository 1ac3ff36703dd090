-- What is over: counted, and removed. A patient whose record somebody holds keeps everything.

-- name: lock
-- One of many processes; the others do nothing.
select pg_try_advisory_xact_lock(hashtextextended('homevigil retention', 0));

-- name: last_run
select max(ran_at) from retention_run;

-- name: note_run
insert into retention_run (ran_at, removed, destroyed) values (%(now)s, %(removed)s, %(destroyed)s);

-- name: count_patient_links
select count(*) from patient_link l where least(l.expires_at, l.revoked_at) < %(before)s
  and not exists (select from legal_hold h where h.patient_id = l.patient_id and h.ended_at is null and h.until > %(now)s);

-- name: remove_patient_links
delete from patient_link l where least(l.expires_at, l.revoked_at) < %(before)s
  and not exists (select from legal_hold h where h.patient_id = l.patient_id and h.ended_at is null and h.until > %(now)s);

-- name: count_invitations
select count(*) from invitation where expires_at < %(before)s;

-- name: remove_invitations
delete from invitation where expires_at < %(before)s;

-- name: count_record_codes
select count(*) from record_code where ends_at < %(before)s;

-- name: remove_record_codes
delete from record_code where ends_at < %(before)s;

-- name: count_bulk_exports
select count(*) from bulk_export where ends_at < %(before)s;

-- name: remove_bulk_exports
delete from bulk_export where ends_at < %(before)s;

-- name: count_diagnoses
select count(*) from gateway_diagnosis d where received_at < %(before)s
  and not exists (select from meter_binding b join legal_hold h using (patient_id)
                  where b.gateway_id = d.gateway_id and h.ended_at is null and h.until > %(now)s);

-- name: remove_diagnoses
delete from gateway_diagnosis d where received_at < %(before)s
  and not exists (select from meter_binding b join legal_hold h using (patient_id)
                  where b.gateway_id = d.gateway_id and h.ended_at is null and h.until > %(now)s);
