-- What the FHIR facade and the bulk export read: readings with their whole provenance, in the order in which they were stored, so that
-- who asks again since an instant misses nothing and sees nothing twice.

-- name: list_recorded
-- Of these patients; a reading that is another's by now is in the other's record, what is void stays as such.
select r.patient_id, r.standing, r.stored_as <> r.patient_id as is_from_another, r.reading_id, r.kind, r.measured_at, r.received_at,
       r.stored_at, r.gateway_id, r.meter_id, r.user_slot, r.meter_status, r.systolic_mmhg, r.diastolic_mmhg, r.mean_mmhg, r.pulse_bpm,
       r.glucose_mmol_l, r.glucose_mg_dl, r.glucose_censored, r.meal, r.weight_kg, r.spo2_percent, r.temperature_celsius,
       r.unit_sent, r.quality, r.quality_reasons, r.time_quality, r.meter_time, r.clock_offset_s, r.zone,
       greatest(r.stored_at, c.made_at) as changed_at
from reading_on_record r
left join lateral (select max(made_at) as made_at from reading_correction c where c.reading_id = r.reading_id) c on true
where r.patient_id = any (%(patient_ids)s) and r.standing <> 'moved' and r.kind = any (%(kinds)s)
  and (%(reading_id)s::uuid is null or r.reading_id = %(reading_id)s::uuid)
  and (%(from_at)s::timestamptz is null or r.measured_at >= %(from_at)s::timestamptz)
  and (%(until_at)s::timestamptz is null or r.measured_at < %(until_at)s::timestamptz)
  and (%(changed_since)s::timestamptz is null or greatest(r.stored_at, c.made_at) >= %(changed_since)s::timestamptz)
  and (%(changed_until)s::timestamptz is null or greatest(r.stored_at, c.made_at) < %(changed_until)s::timestamptz)
  and (%(after_at)s::timestamptz is null or (r.measured_at, r.reading_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid))
order by r.measured_at desc, r.reading_id desc
limit %(limit)s;

-- name: list_equipment
-- The gateways and meters by which these patients are or were measured.
select distinct b.patient_id, b.gateway_id, b.meter_id from meter_binding b where b.patient_id = any (%(patient_ids)s)
order by b.patient_id, b.gateway_id, b.meter_id;
