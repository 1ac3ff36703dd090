-- name: add_gateway
-- Idempotent, so that a deployment script may say it every time.
insert into gateway (gateway_id, zone) values (%(gateway_id)s, %(zone)s)
on conflict (gateway_id) do update set zone = excluded.zone;

-- name: add_patient
-- The patient and the first zone, in one statement.
with new as (
    insert into patient (name, language, enrolled_on, sex, birth_date, phone, conditions, doctor_id, created_at)
    values (%(name)s, %(language)s, %(enrolled_on)s, %(sex)s, %(birth_date)s, %(phone)s, %(conditions)s::text[],
            %(doctor_id)s, %(now)s)
    returning patient_id
), zoned as (
    insert into patient_zone (patient_id, valid_from, zone, recorded_by)
    select patient_id, %(zone_from)s, %(zone)s, 'enrolment' from new
)
select patient_id from new;

-- name: later_binding
-- A binding in force that began after the new one would: the new one would rewrite its past.
select from meter_binding
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s and valid_to is null
  and valid_from > %(valid_from)s;

-- name: same_binding
select from meter_binding
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s and valid_to is null
  and gateway_id = %(gateway_id)s and patient_id = %(patient_id)s;

-- name: end_binding
update meter_binding set valid_to = %(valid_from)s
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s and valid_to is null;

-- name: bind_meter
insert into meter_binding (meter_id, user_slot, gateway_id, patient_id, bound_by, valid_from)
values (%(meter_id)s, %(user_slot)s, %(gateway_id)s, %(patient_id)s, %(bound_by)s, %(valid_from)s);
