-- Readings that clinicians and patients see. The door has found that whoever asks may see the patient.

-- name: list_readings
-- One patient's readings, newest first; what is void, or another's by now, stands there too, unless only those in use are wanted.
select standing, stored_as <> patient_id as is_from_another,
       (select count(*) + 1 from reading_correction c where c.reading_id = r.reading_id)::int as version, reading_id, kind, measured_at, received_at, meter_id, user_slot, systolic_mmhg, diastolic_mmhg, mean_mmhg,
       pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal, weight_kg, spo2_percent, temperature_celsius,
       unit_sent, quality, quality_reasons, time_quality, meter_time, clock_offset_s, zone
from reading_on_record r
where patient_id = %(patient_id)s and kind = any (%(kinds)s) and measured_at >= %(since)s
  and (standing = 'in_use' or not %(only_in_use)s)
  and (%(before_at)s::timestamptz is null or (measured_at, reading_id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
order by measured_at desc, reading_id desc
limit %(limit)s;

-- name: list_these_readings
-- The readings that a verdict names, oldest first; also those that no longer stand behind it.
select standing, stored_as <> patient_id as is_from_another,
       (select count(*) + 1 from reading_correction c where c.reading_id = r.reading_id)::int as version, reading_id, kind, measured_at, received_at, meter_id, user_slot, systolic_mmhg, diastolic_mmhg, mean_mmhg,
       pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal, weight_kg, spo2_percent, temperature_celsius,
       unit_sent, quality, quality_reasons, time_quality, meter_time, clock_offset_s, zone
from reading_on_record r
where patient_id = %(patient_id)s and reading_id = any (%(reading_ids)s)
order by measured_at, reading_id;

-- name: list_struck
-- What clinicians have said is void, or another's by now, newest first.
select standing, stored_as <> patient_id as is_from_another,
       (select count(*) + 1 from reading_correction c where c.reading_id = r.reading_id)::int as version, reading_id, kind, measured_at, received_at, meter_id, user_slot, systolic_mmhg, diastolic_mmhg, mean_mmhg,
       pulse_bpm, glucose_mmol_l, glucose_mg_dl, glucose_censored, meal, weight_kg, spo2_percent, temperature_celsius,
       unit_sent, quality, quality_reasons, time_quality, meter_time, clock_offset_s, zone
from reading_on_record r
where patient_id = %(patient_id)s and kind = any (%(kinds)s) and measured_at >= %(since)s and standing <> 'in_use'
order by measured_at desc, reading_id desc
limit %(limit)s;

-- name: list_worn_days
select distinct (measured_at at time zone %(zone)s)::date from reading_in_use
where patient_id = %(patient_id)s and kind = %(kind)s and measured_at >= %(since)s and quality = 'accepted';

-- name: list_panel_values
-- The values behind every sparkline of a worklist, oldest first. A worn sensor has hundreds a day: the newest is enough.
select patient_id, kind, measured_at, systolic_mmhg, diastolic_mmhg, pulse_bpm, glucose_mmol_l, weight_kg, spo2_percent,
       temperature_celsius, quality
from reading_in_use
where patient_id = any (%(patient_ids)s) and kind = any (%(kinds)s) and measured_at > %(since)s
  and quality = 'accepted' and time_quality <> 'orphan'
union all
select p.patient_id, r.*
from unnest(%(patient_ids)s::bigint[]) p (patient_id),
lateral (select kind, measured_at, systolic_mmhg, diastolic_mmhg, pulse_bpm, glucose_mmol_l, weight_kg, spo2_percent,
                temperature_celsius, quality
         from reading_in_use
         where patient_id = p.patient_id and kind = %(worn)s and measured_at > %(since)s
           and quality = 'accepted' and time_quality <> 'orphan'
         order by measured_at desc limit 1) r
order by patient_id, measured_at;
