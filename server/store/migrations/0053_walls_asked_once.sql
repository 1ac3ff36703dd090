-- A wall asks once for each statement whom the caller sees, not once for each row, and costs next to nothing to plan. pre

-- Why somebody sees a patient, said once, a row for each reason: the patient's own doctor, whoever has the patient on a panel, the
-- patient's own account, and whoever has opened the record in an emergency. Clinicians only, but for that account; and nobody sees
-- a patient who is kept under seal, or erased. `is_regular`: whom the house tells of the patient.
create view panel_reason as
    select p.doctor_id as user_id, p.patient_id, true as is_regular
    from patient p join app_user u on u.user_id = p.doctor_id
    where u.role in ('doctor', 'nurse') and p.standing in ('active', 'paused')
    union all
    select m.user_id, m.patient_id, true
    from panel m join app_user u using (user_id) join patient p on p.patient_id = m.patient_id
    where u.role in ('doctor', 'nurse') and p.standing in ('active', 'paused')
    union all
    select a.user_id, a.patient_id, false
    from patient_account a join app_user u using (user_id) join patient p on p.patient_id = a.patient_id
    where u.role = 'patient' and p.standing in ('active', 'paused')
    union all
    select b.user_id, b.patient_id, false
    from break_glass b join app_user u using (user_id) join patient p on p.patient_id = b.patient_id
    where b.ended_at is null and b.opened_at <= wall_now() and b.ends_at > wall_now() and u.role in ('doctor', 'nurse')
      and p.standing in ('active', 'paused');

create or replace view panel_regular as select distinct user_id, patient_id from panel_reason where is_regular;
create or replace view panel_member as select distinct user_id, patient_id from panel_reason;

-- Everybody whom the person of this transaction sees, at this instant. A function, so that it is planned once in a connection's life:
-- written out inside each wall it was planned anew for each table of each statement, and then often asked for each row. Nothing of an
-- answer is kept from one statement to the next: a right that was given or taken away holds at once.
create function wall_patients() returns setof bigint language plpgsql stable parallel safe rows 200
security definer set search_path = public, pg_temp as $$
declare
    me bigint := wall_user();
begin
    return query select r.patient_id from public.panel_reason r where r.user_id = me;
end $$;
revoke execute on function wall_patients from public;
grant execute on function wall_patients to homevigil_service, homevigil_people;

-- In a wall always `patient_id in (select patient_id from people.mine)`: that is looked up in a table of hashes, made once for the
-- statement, and only when there is a row to be looked at. `exists (select from people.mine v where …)` says the same, and is asked for
-- each row. In a view the planner makes a join of either, which it may begin anew for each row of something else: `is true` keeps it
-- from that.
create or replace view people.mine as
    select v.patient_id from public.wall_patients() v (patient_id);

create or replace view people.panel_member with (security_barrier) as
    select wall_user() as user_id, v.patient_id from public.wall_patients() v (patient_id)
    union all
    select m.user_id, m.patient_id from public.panel_member m
    where m.user_id <> wall_user() and (m.patient_id in (select v.patient_id from people.mine v)) is true;

create or replace view people.panel_regular with (security_barrier) as
    select m.user_id, m.patient_id from public.panel_regular m
    where (m.patient_id in (select v.patient_id from people.mine v)) is true;

create or replace function wall_readings() returns void language plpgsql as $make$
declare
    name text;
begin
    foreach name in array array['reading', 'reading_in_use', 'reading_on_record'] loop
        execute format($view$
            create or replace view people.%1$I with (security_barrier) as
            select r.* from public.%1$I r where (r.patient_id in (select v.patient_id from people.mine v)) is true
        $view$, name);
        execute format('grant select on people.%I to homevigil_people', name);
    end loop;
end $make$;
select wall_readings();

create or replace function wall_up(name text, rights text default 'select, insert, update', through text default null, by text default null,
                                   seen text default null) returns void language plpgsql as $$
declare
    condition text := coalesce(seen,
        case when through is not null
             then format('exists (select from %1$I w where w.%2$I = %3$I.%2$I)', through, by, name)
             else format('%I.patient_id in (select v.patient_id from people.mine v)', name) end);
begin
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('drop policy if exists service on %I', name);
    execute format('drop policy if exists people on %I', name);
    execute format('create policy service on %I to homevigil_service using (true) with check (true)', name);
    execute format('create policy people on %I to homevigil_people using (%s) with check (%s)', name, condition, condition);
    execute format('revoke all on %I from homevigil_people', name);
    execute format('grant %s on %I to homevigil_people', rights, name);
    insert into wall values (name, false, rights) on conflict on constraint wall_pkey do update set is_open = false, rights = excluded.rights;
end $$;

-- Every wall that stands says it the new way, with the rights that it has.
do $$
declare
    standing record;
begin
    for standing in
        select p.tablename, w.rights from pg_policies p join wall w on w.name = p.tablename
        where p.schemaname = 'public' and p.policyname = 'people'
          and regexp_replace(p.qual, '\s+', ' ', 'g')
              = format('(EXISTS ( SELECT FROM people.mine v WHERE (v.patient_id = %I.patient_id)))', p.tablename)
    loop
        perform wall_up(standing.tablename, standing.rights);
    end loop;
    perform wall_up(w.name, w.rights, seen =>
        'subject not like ''patient:%'' or subject in (select ''patient:'' || v.patient_id from people.mine v)')
    from wall w where w.name in ('quiet_hours', 'alarm');
    perform wall_up(w.name, w.rights, seen =>
        'stored_as in (select v.patient_id from people.mine v) or from_patient_id in (select v.patient_id from people.mine v)
         or to_patient_id in (select v.patient_id from people.mine v)')
    from wall w where w.name = 'reading_correction';
    perform wall_up(w.name, w.rights, seen =>
        'stored_as in (select v.patient_id from people.mine v) or patient_id in (select v.patient_id from people.mine v)')
    from wall w where w.name = 'reading_elsewhere';
end $$;
