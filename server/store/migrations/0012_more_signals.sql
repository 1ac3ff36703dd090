-- Room for weight, oxygen saturation, temperature and worn glucose sensors. pre

-- New columns are null everywhere, so nothing is rewritten, and no chunk of a hypertable is decompressed.
alter table reading_shape
    add column weight_kg           double precision,
    add column spo2_percent        double precision,
    add column temperature_celsius double precision;
alter table reading
    add column weight_kg           double precision,
    add column spo2_percent        double precision,
    add column temperature_celsius double precision;

alter table reading_shape
    drop constraint reading_shape_kind_check,
    add constraint reading_shape_kind_check check (
        kind in ('blood_pressure', 'glucose', 'sensor_glucose', 'weight', 'oxygen_saturation', 'temperature'));

-- More kinds are allowed than before, so whatever is stored fits already: `not valid` spares reading all of it under a lock that
-- stops everybody. What comes in is checked. Before 2.20 TimescaleDB refuses a new check while there are compressed chunks: such
-- a house does without this second look at what intake has looked at.
alter table reading drop constraint reading_shape_kind_check;
do $$
begin
    alter table reading add constraint reading_shape_kind_check check (
        kind in ('blood_pressure', 'glucose', 'sensor_glucose', 'weight', 'oxygen_saturation', 'temperature')) not valid;
exception when feature_not_supported then
    raise notice 'reading: kinds are not checked a second time: %', sqlerrm;
end $$;
