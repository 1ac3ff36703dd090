-- name: add_gateway
-- Idempotent, so that a deployment script may say it every time.
insert into gateway (gateway_id, zone) values (%(gateway_id)s, %(zone)s)
on conflict (gateway_id) do update set zone = excluded.zone;

-- name: add_patient
-- The patient, of whom it is not said yet who that is, and the first zone, in one statement; and a look in a day's time, for somebody of whom nothing ever comes is due for
-- no reading.
with new as (
    insert into patient (patient_id, language, enrolled_on, sex, conditions, doctor_id, created_at)
    overriding system value
    values (%(patient_id)s, %(language)s, %(enrolled_on)s, %(sex)s, %(conditions)s::text[], %(doctor_id)s, %(now)s)
    returning patient_id
), zoned as (
    insert into patient_zone (patient_id, valid_from, zone, recorded_by)
    select patient_id, %(zone_from)s, %(zone)s, 'enrolment' from new
), awaited as (
    insert into due (patient_id, due_at, since, reason) select patient_id, now() + interval '1 day', now(), 'timer' from new
)
select patient_id from new;

-- name: list_gateways
select gateway_id, zone, state, enrolled_at, last_heard_at from gateway
where %(gateway_id)s::text is null or gateway_id = %(gateway_id)s::text
order by gateway_id;

-- name: set_gateway_state
update gateway set state = %(state)s where gateway_id = %(gateway_id)s returning gateway_id;

-- name: list_patients
-- The zone is that of the newest move. The watchdog is nobody.
select p.patient_id, i.identity as name, p.language, p.enrolled_on, p.conditions, u.login as doctor,
       (select zone from patient_zone z where z.patient_id = p.patient_id order by valid_from desc limit 1) as zone
from patient p join patient_identity i using (patient_id) left join app_user u on u.user_id = p.doctor_id
where not p.is_watchdog
order by p.patient_id;

-- name: has_patient
select from patient where patient_id = %(patient_id)s;

-- name: lock_meter
-- Who binds or unbinds a meter waits for whoever is doing it.
select pg_advisory_xact_lock(hashtextextended('homevigil binding ' || %(meter_id)s, 0));

-- name: bindings_in_force
select meter_id, user_slot, gateway_id, patient_id, bound_by, valid_from from meter_binding
where valid_to is null and (%(meter_id)s::text is null or meter_id = %(meter_id)s::text)
order by meter_id, user_slot nulls first;

-- name: others_then
-- Whoever else had this slot at or after the instant from which it is to be the patient's: the latest to have it.
select patient_id, valid_to from meter_binding
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s
  and patient_id <> %(patient_id)s and valid_to > %(valid_from)s and valid_from < valid_to
order by valid_to desc limit 1;

-- name: extend_binding
update meter_binding set valid_from = %(valid_from)s, bound_by = %(bound_by)s
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s and valid_to is null;

-- name: end_binding
update meter_binding set valid_to = greatest(%(valid_from)s, valid_from)
where meter_id = %(meter_id)s and user_slot is not distinct from %(user_slot)s and valid_to is null;

-- name: bind_meter
insert into meter_binding (meter_id, user_slot, gateway_id, patient_id, bound_by, valid_from)
values (%(meter_id)s, %(user_slot)s, %(gateway_id)s, %(patient_id)s, %(bound_by)s, %(valid_from)s);
