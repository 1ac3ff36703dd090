-- Readings of many patients at once, as columns of one width. Reads only.

-- name: corrected
-- For whom a clinician's correction bears on what is read: for nearly everybody none does.
select stored_as from reading_elsewhere where stored_as = any(%(patient_ids)s::bigint[])
union
select patient_id from reading_elsewhere where patient_id = any(%(patient_ids)s::bigint[]);

-- name: readings
-- What `judging.sql` reads of one patient (readings), with words as their places in lists and what is absent as NaN or 0. -1 is a
-- word that is in no list.
copy (
select patient_id, reading_id, measured_at, received_at,
       coalesce(systolic_mmhg, 'NaN'), coalesce(diastolic_mmhg, 'NaN'), coalesce(pulse_bpm, 'NaN'),
       coalesce(glucose_mmol_l, 'NaN'), coalesce(glucose_mg_dl, 'NaN'), coalesce(weight_kg, 'NaN'),
       coalesce(spo2_percent, 'NaN'), coalesce(temperature_celsius, 'NaN'),
       case when kind = 'blood_pressure' and meter_status is not null
            then (meter_status & %(irregular)s::int <> 0)::int::double precision else 'NaN' end,
       coalesce(array_position(%(kind)s::text[], kind), -1)::smallint,
       case when glucose_censored is null then 0
            else coalesce(array_position(%(censored)s::text[], glucose_censored), -1) end::smallint,
       case when meal is null then 0 else coalesce(array_position(%(meal)s::text[], meal), -1) end::smallint,
       coalesce(array_position(%(quality)s::text[], quality), -1)::smallint,
       coalesce(array_position(%(time_quality)s::text[], time_quality), -1)::smallint
from reading
where patient_id = any(%(patient_ids)s::bigint[]) and measured_at >= %(since)s
order by patient_id, measured_at, reading_id
) to stdout (format binary);
