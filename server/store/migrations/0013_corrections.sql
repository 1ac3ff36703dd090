-- What clinicians have said of readings: that one is not to be used, or that it is somebody else's. The reading itself stays. pre

-- Append-only, one row for each thing said. `version` counts those of one reading, so that two people cannot both say the next.
-- `stored_as`, `kind` and `measured_at` find the row in `reading`, which no correction ever touches: not its bytes, not its patient,
-- and no compressed chunk.
create table reading_correction (
    correction_id   bigint generated always as identity primary key,
    reading_id      uuid        not null,
    version         int         not null check (version >= 1),
    action          text        not null check (action in ('void', 'reassign', 'restore')),
    reason          text        not null,
    note            text        not null default '',
    made_by         bigint      not null references app_user,
    made_at         timestamptz not null,
    stored_as       bigint      not null references patient,
    kind            text        not null,
    measured_at     timestamptz not null,
    from_patient_id bigint      references patient, -- whose it was until then; null: nobody's
    to_patient_id   bigint      references patient, -- whose it is from then on; null: nobody's
    unique (reading_id, version),
    check (from_patient_id is distinct from to_patient_id),
    check ((action = 'void') = (to_patient_id is null))
);
create index reading_correction_by_new_owner on reading_correction (to_patient_id) where to_patient_id <> stored_as;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op) using errcode = 'restrict_violation';
end $$;
create trigger reading_correction_is_kept before update or delete on reading_correction
    for each statement execute function refuse_change();

-- What the corrections come to: the readings that are not, or not any more, in use where they are stored. A reading that was given
-- back has no row here. Whoever judges looks here and not into the history above.
create table reading_elsewhere (
    stored_as   bigint      not null references patient,
    reading_id  uuid        not null,
    patient_id  bigint      references patient, -- whose it is; null: nobody's
    kind        text        not null,
    measured_at timestamptz not null,
    primary key (stored_as, reading_id)
);
create index reading_elsewhere_by_owner on reading_elsewhere (patient_id) where patient_id is not null;

-- The two ways to look at readings. A view's columns are settled when it is made: a migration that gives `reading` a column calls
-- this again.
--   reading_in_use:    as they count, each under the patient whose it is. `reading_id` is unique here, too.
--   reading_on_record: all that ever stood in a patient's record, by `standing` (in_use, void, moved: it is another's).
create function reading_views_make() returns void language plpgsql as $make$
declare
    columns text := (select string_agg(format('r.%I', attname), ', ' order by attnum) from pg_attribute
                     where attrelid = 'reading'::regclass and attnum > 0 and not attisdropped and attname <> 'patient_id');
begin
    execute format($view$
        create or replace view reading_in_use as
        select r.patient_id, %1$s
        from reading r
        where not exists (select from reading_elsewhere e
                          where e.stored_as = r.patient_id and e.reading_id = r.reading_id)
        union all
        select m.patient_id, %1$s
        from reading_elsewhere m
        join reading r on r.patient_id = m.stored_as and r.kind = m.kind and r.measured_at = m.measured_at
                          and r.reading_id = m.reading_id
        where m.patient_id is not null
    $view$, columns);
    execute format($view$
        create or replace view reading_on_record as
        select r.patient_id, r.patient_id as stored_as, e.patient_id as owner_id, e.reading_id is not null as is_elsewhere,
               case when e.reading_id is null then 'in_use' when e.patient_id is null then 'void' else 'moved' end as standing,
               %1$s
        from reading r
        left join reading_elsewhere e on e.stored_as = r.patient_id and e.reading_id = r.reading_id
        union all
        select m.patient_id, m.stored_as, e.patient_id, e.reading_id is not null,
               case when e.patient_id = m.patient_id then 'in_use'
                    when e.reading_id is not null and e.patient_id is null then 'void' else 'moved' end,
               %1$s
        from (select distinct to_patient_id as patient_id, stored_as, kind, measured_at, reading_id
              from reading_correction where to_patient_id <> stored_as) m
        join reading r on r.patient_id = m.stored_as and r.kind = m.kind and r.measured_at = m.measured_at
                          and r.reading_id = m.reading_id
        left join reading_elsewhere e on e.stored_as = m.stored_as and e.reading_id = m.reading_id
    $view$, columns);
end $make$;
select reading_views_make();
