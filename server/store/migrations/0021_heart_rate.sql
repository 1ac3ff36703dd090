-- Room for the heart rate of a strap. pre

-- As in 0012: more kinds are allowed than before, so what is stored fits, and nobody waits for it to be read.
alter table reading_shape
    drop constraint reading_shape_kind_check,
    add constraint reading_shape_kind_check check (kind in (
        'blood_pressure', 'glucose', 'sensor_glucose', 'weight', 'oxygen_saturation', 'temperature', 'heart_rate'));

alter table reading drop constraint if exists reading_shape_kind_check;
do $$
begin
    alter table reading add constraint reading_shape_kind_check check (kind in (
        'blood_pressure', 'glucose', 'sensor_glucose', 'weight', 'oxygen_saturation', 'temperature', 'heart_rate')) not valid;
exception when feature_not_supported then
    raise notice 'reading: kinds are not checked a second time: %', sqlerrm;
end $$;
