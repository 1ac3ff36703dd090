-- The only place that knows two engines exist: a hypertable where TimescaleDB is, native partitions where it is not. pre
-- Chosen once, at creation, never converted. 28-day chunks segmented by patient (docs/explanation/architecture).
-- No retention: clinical records are kept 15 years.
do $$
begin
    if exists (select from pg_extension where extname = 'timescaledb') then
        create table reading (like reading_shape including all);
        perform create_hypertable('reading', by_range('measured_at', interval '28 days'), create_default_indexes => false);
        alter table reading set (timescaledb.enable_columnstore, timescaledb.segmentby = 'patient_id',
                                 timescaledb.orderby = 'kind, measured_at desc, reading_id');
        call add_columnstore_policy('reading', after => interval '35 days');
        execute $f$create function reading_engine() returns text language sql immutable as $g$ select 'timescaledb'::text $g$ $f$;
    else
        execute 'create table reading (like reading_shape including all) partition by range (measured_at)';
        execute $f$create function reading_engine() returns text language sql immutable as $g$ select 'partitions'::text $g$ $f$;
    end if;
end $$;

-- Makes the month of `at` ready to take rows; returns at once on TimescaleDB, which makes its chunks itself.
create function reading_make_room(at timestamptz) returns void language plpgsql as $$
declare
    first_day timestamptz := date_trunc('month', at at time zone 'UTC') at time zone 'UTC';
    next_day  timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    part      text        := 'reading_' || to_char(at at time zone 'UTC', 'YYYY_MM');
begin
    if reading_engine() = 'timescaledb' or to_regclass(part) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('reading_make_room'));
    execute format('create table if not exists %I partition of reading for values from (%L) to (%L)', part, first_day, next_day);
end $$;
