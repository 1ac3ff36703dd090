-- Whose home a gateway is for, said before any meter is bound; and codes that were taken back. pre

-- Said by whoever hands out the box, by the patient's number. It gives nobody a reading: that a binding does (`meter_binding`).
create table gateway_home (
    home_id    bigint generated always as identity primary key,
    gateway_id text        not null references gateway,
    patient_id bigint      not null references patient,
    said_by    text        not null,
    valid_from timestamptz not null,
    valid_to   timestamptz check (valid_to >= valid_from)
);
create unique index gateway_home_in_force on gateway_home (gateway_id, patient_id) where valid_to is null;
create index gateway_home_of_patient on gateway_home (patient_id);
select wall_up('gateway_home', 'select');
select audit_keep('gateway_home', '{home_id}', 't.patient_id', is_mutable => true);

alter table admission_event drop constraint admission_event_act_check, add constraint admission_event_act_check check (act in (
    'claim_made', 'claim_taken_back', 'claim_refused', 'admitted', 'admitted_again', 'renewed', 'renewed_again', 'renewal_refused',
    'certificate_revoked', 'gateway_revoked', 'gateway_restored'));

-- As before; and who measures in a home is said of the home, too.
create or replace function quarantine_near(gateway text, meter text, slot smallint, from_at timestamptz, to_at timestamptz)
returns setof bigint language sql stable security definer set search_path = public, pg_temp as $$
    with bound as (
        select patient_id, valid_from <= to_at as is_then, gateway_id = gateway as is_here,
               coalesce(meter_id = meter and user_slot is not distinct from slot, false) as is_named
        from meter_binding
        where (gateway_id = gateway or meter_id = meter)
          and (valid_to is null or (valid_to > from_at and valid_to > valid_from))
        union all
        select patient_id, valid_from <= to_at, true, false
        from gateway_home
        where gateway_id = gateway and (valid_to is null or (valid_to > from_at and valid_to > valid_from))
    )
    select distinct patient_id from bound
    where case when exists (select from bound where is_named and is_here and is_then) then is_named and is_here and is_then
               when exists (select from bound where is_named or is_then) then is_named or is_then
               else true end
$$;
