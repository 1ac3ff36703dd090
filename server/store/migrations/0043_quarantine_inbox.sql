-- Quarantine in the hands of people: whose a row may be, who may see that it lies there, and why it was set aside for good. pre

-- Why a person has set the row aside for good. It stays where it is, with its bytes, and counted as quarantined.
alter table quarantine
    add column set_aside_as text check (set_aside_as in ('not_a_patient', 'trial', 'meter_problem', 'unreadable', 'settled')),
    add constraint quarantine_set_aside_by_somebody
        check (set_aside_as is null or (resolved_at is not null and resolved_by is not null and released_as is null));
create index quarantine_open_by_gateway on quarantine (gateway_id) where resolved_at is null;
create index quarantine_set_aside on quarantine (received_at) where set_aside_as is not null;
create index meter_binding_by_gateway on meter_binding (gateway_id);
create index meter_binding_by_meter on meter_binding (meter_id);

-- Whose what came by this gateway from this slot of this meter may be, between two instants (measured and received):
-- the owner of the slot, if the meter was read at home; else whoever had the meter or measured at the gateway then, and whoever
-- has had the slot since; else those to whom the home or the meter came later. Bindings that never held are nobody's.
create function quarantine_near(gateway text, meter text, slot smallint, from_at timestamptz, to_at timestamptz)
returns setof bigint language sql stable security definer set search_path = public, pg_temp as $$
    with bound as (
        select patient_id, valid_from <= to_at as is_then, gateway_id = gateway as is_here,
               coalesce(meter_id = meter and user_slot is not distinct from slot, false) as is_named
        from meter_binding
        where (gateway_id = gateway or meter_id = meter)
          and (valid_to is null or (valid_to > from_at and valid_to > valid_from))
    )
    select distinct patient_id from bound
    where case when exists (select from bound where is_named and is_here and is_then) then is_named and is_here and is_then
               when exists (select from bound where is_named or is_then) then is_named or is_then
               else true end
$$;
revoke execute on function quarantine_near from public;
grant execute on function quarantine_near to homevigil_service;

-- Whether whoever asks sees one of those at least.
create function quarantine_is_seen(gateway text, meter text, slot smallint, at timestamptz)
returns boolean language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from quarantine_near(gateway, meter, slot, at, at) as near (patient_id)
                   join panel_member m using (patient_id) where m.user_id = wall_user())
$$;

-- As before, what came from a home or a meter is seen by those who see somebody who measures there or with it; but a home or a meter
-- that has gone from one patient to another shows each side its own time alone. What becomes of a row, the house writes down.
select wall_up('quarantine', 'select', seen => 'quarantine_is_seen(gateway_id, meter_id, user_slot, received_at)');
