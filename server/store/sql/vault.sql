-- The keys of those whose data is sealed, wrapped.

-- name: keys
select holder, wrapped from data_key where holder = any(%(holder)s::text[]);

-- name: add
-- In order, so that two who add the same keys wait for each other and do not lock each other out.
insert into data_key (holder, patient_id, wrapped)
select holder, patient_id, wrapped
from unnest(%(holder)s::text[], %(patient_id)s::bigint[], %(wrapped)s::bytea[]) as t (holder, patient_id, wrapped)
order by holder
on conflict (holder) do nothing;

-- name: next_patient
select nextval(pg_get_serial_sequence('patient', 'patient_id'));

-- name: identify
update patient set identity = %(identity)s where patient_id = %(patient_id)s;

-- name: identity
select identity from patient_identity where patient_id = %(patient_id)s;

-- name: frames
select reading_id, raw, context_raw, sent from reading_frames where reading_id = any(%(reading_id)s::uuid[]);

-- name: wrapped_otherwise
-- Keys that another wrapping key wraps, locked.
select holder, wrapped from data_key
where wrapped is not null and substr(wrapped, 1, 8) <> %(name)s
order by holder limit %(limit)s for update;

-- name: rewrap
update data_key k set wrapped = t.wrapped
from unnest(%(holder)s::text[], %(wrapped)s::bytea[]) as t (holder, wrapped) where k.holder = t.holder;

-- name: wrapping_keys
select distinct substr(wrapped, 1, 8) from data_key where wrapped is not null;

-- name: unsealed_patients
select patient_id, name, phone, birth_date from patient where identity is null order by patient_id limit %(limit)s for update;

-- name: seal_patients
update patient p set identity = t.identity
from unnest(%(patient_id)s::bigint[], %(identity)s::bytea[]) as t (patient_id, identity) where p.patient_id = t.patient_id;

-- name: unsealed_frames
-- Of one patient; a reading is found by its patient, not by its id.
select w.reading_id, w.raw, w.context_raw, w.sent::text
from reading r join reading_raw_plain w using (reading_id)
where r.patient_id = %(patient_id)s
limit %(limit)s;

-- name: unsealed_frames_of_nobody
select reading_id, raw, context_raw, sent::text from reading_raw_plain limit %(limit)s;

-- name: seal_frames
with gone as (
    delete from reading_raw_plain where reading_id = any(%(reading_id)s::uuid[])
)
insert into reading_raw (reading_id, patient_id, raw, context_raw, sent)
select reading_id, %(patient_id)s, raw, context_raw, sent
from unnest(%(reading_id)s::uuid[], %(raw)s::bytea[], %(context_raw)s::bytea[], %(sent)s::bytea[])
     as t (reading_id, raw, context_raw, sent);

-- name: patients
select patient_id from patient order by patient_id;

-- name: unsealed_quarantine
select quarantine_id, meter_id, gateway_id, fingerprint, raw from quarantine where not is_sealed order by quarantine_id limit %(limit)s for update;

-- name: seal_quarantine
update quarantine q set raw = t.raw, is_sealed = true
from unnest(%(quarantine_id)s::bigint[], %(raw)s::bytea[]) as t (quarantine_id, raw) where q.quarantine_id = t.quarantine_id;

-- name: unsealed_webhooks
select webhook_id, secret, old_secret from webhook where sealed is null or (old_sealed is null) <> (old_secret is null)
order by webhook_id for update;

-- name: seal_webhook
update webhook set sealed = %(sealed)s, old_sealed = %(old_sealed)s where webhook_id = %(webhook_id)s;

-- name: unsealed_days
select gateway_id, day, first_raw, last_raw from quarantine_day where not is_sealed order by gateway_id, day limit %(limit)s for update;

-- name: seal_days
update quarantine_day d set first_raw = t.first_raw, last_raw = t.last_raw, is_sealed = true
from unnest(%(gateway_id)s::text[], %(day)s::date[], %(first_raw)s::bytea[], %(last_raw)s::bytea[])
     as t (gateway_id, day, first_raw, last_raw)
where d.gateway_id = t.gateway_id and d.day = t.day;
