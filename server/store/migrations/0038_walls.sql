-- Nobody's request sees a stranger's record, whatever the statement forgets: a role for people's requests, and walls around each table. pre

-- Roles that nobody signs in as. `homevigil_service`: the server's own loops, and whoever owns the tables: all patients.
-- `homevigil_people`: a request in a person's name, which sees the patients of that person alone. `homevigil_door` is the way from the
-- one to the other: it inherits nothing, so whoever is its member may become `homevigil_people` but is not so all the time.
-- Roles belong to the whole database server, so they may be there already; where we may not make them, its administrator does.
do $$
begin
    if not exists (select from pg_roles where rolname = 'homevigil_service') then
        create role homevigil_service nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'homevigil_people') then
        create role homevigil_people nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'homevigil_door') then
        create role homevigil_door nologin noinherit;
    end if;
    if not pg_has_role('homevigil_door', 'homevigil_people', 'member') then
        grant homevigil_people to homevigil_door;
    end if;
    if not pg_has_role(current_user, 'homevigil_service', 'usage') then
        execute format('grant homevigil_service to %I', current_user);
    end if;
    if not pg_has_role(current_user, 'homevigil_door', 'member') then
        execute format('grant homevigil_door to %I', current_user);
    end if;
exception when insufficient_privilege then
    raise exception 'this database has no roles for walls between patients, and % may not make them. Let its administrator run: '
        'create role homevigil_service nologin; create role homevigil_people nologin; create role homevigil_door nologin noinherit; '
        'grant homevigil_people to homevigil_door; grant homevigil_service, homevigil_door to %;', current_user, current_user;
end $$;

grant usage on schema public to homevigil_service, homevigil_people;
grant select, insert, update, delete, truncate on all tables in schema public to homevigil_service;
alter default privileges in schema public grant select, insert, update, delete, truncate on tables to homevigil_service;

-- A month's partition is made by whoever stores into it, who need not own the table.
alter function reading_make_room(timestamptz) security definer;
alter function reading_make_room(timestamptz) set search_path = public, pg_temp;

-- In whose name, and when, this transaction asks: said by the server for each transaction, and over with it. Nobody: nothing is seen.
create function wall_user() returns bigint language sql stable parallel safe as $$
    select nullif(current_setting('homevigil.user_id', true), '')::bigint
$$;
create function wall_now() returns timestamptz language sql stable parallel safe as $$
    select coalesce(nullif(current_setting('homevigil.now', true), '')::timestamptz, now())
$$;

-- What people see in place of what lies in `public`: their search path begins here, so a statement says the same names whoever asks.
-- These views look with the eyes of their owner, and therefore say themselves whom they show; `security_barrier`: no condition of
-- whoever asks is evaluated on a row that is not shown.
create schema people;
grant usage on schema people to homevigil_people;

create view people.mine as
    select patient_id from public.panel_member where user_id = wall_user();
grant select on people.mine to homevigil_people;

create view people.panel_member with (security_barrier) as
    select m.user_id, m.patient_id from public.panel_member m
    where m.user_id = wall_user() or exists (select from people.mine v where v.patient_id = m.patient_id);
grant select on people.panel_member to homevigil_people;

-- Readings lie in a hypertable or in partitions, which take no policies: people have no right to them or to any chunk. A migration
-- that gives `reading` a column calls `reading_views_make()`, and then this.
create function wall_readings() returns void language plpgsql as $make$
declare
    name text;
begin
    foreach name in array array['reading', 'reading_in_use', 'reading_on_record'] loop
        execute format($view$
            create or replace view people.%1$I with (security_barrier) as
            select r.* from public.%1$I r where exists (select from people.mine v where v.patient_id = r.patient_id)
        $view$, name);
        execute format('grant select on people.%I to homevigil_people', name);
    end loop;
end $make$;
select wall_readings();

-- The wall around an ordinary table that holds anything of a patient, said by the migration that makes the table:
--     select wall_up('follow_up');                                                  it has a patient_id
--     select wall_up('episode_transition', through => 'episode', by => 'episode_id');   its patient is that of another table's row
--     select wall_up('bulk_export', seen => 'user_id = wall_user()');               anything else, in SQL
-- `rights`: what a request in a person's name may do with the rows that it sees.
-- A table that holds nothing of a patient and that people's requests need is opened by `select wall_open('rule_version')`.
-- Of which neither is said, people's requests have no part: "permission denied".
create table wall (
    name    text primary key,
    is_open boolean not null,
    rights  text    not null
);

create function wall_up(name text, rights text default 'select, insert, update', through text default null, by text default null,
                        seen text default null) returns void language plpgsql as $$
declare
    condition text := coalesce(seen,
        case when through is not null
             then format('exists (select from %1$I w where w.%2$I = %3$I.%2$I)', through, by, name)
             else format('exists (select from people.mine v where v.patient_id = %I.patient_id)', name) end);
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

create function wall_open(name text, rights text default 'select') returns void language plpgsql as $$
begin
    execute format('grant %s on %I to homevigil_people', rights, name);
    insert into wall values (name, true, rights) on conflict on constraint wall_pkey do update set rights = excluded.rights;
end $$;

select wall_up('patient', 'select, update');
select wall_up('patient_zone', 'select, insert');
select wall_up('panel', 'select');
select wall_up('patient_link');
select wall_up('meter_binding');
select wall_up('patient_threshold', 'select, insert');
select wall_up('episode');
select wall_up('episode_transition', 'select, insert', through => 'episode', by => 'episode_id');
select wall_up('push');
select wall_up('due', 'select, insert, update, delete');
select wall_up('symptom_answer', 'select, insert');
select wall_up('decision', 'select, insert');
select wall_up('silence');
select wall_up('follow_up');
select wall_up('follow_up_episode', 'select, insert, update, delete', through => 'follow_up', by => 'follow_up_id');
select wall_up('follow_up_event', 'select, insert');
select wall_up('patient_plan', 'select, insert');
select wall_up('plan_due', 'select, insert, update, delete');
select wall_up('reminder');
select wall_up('occasion_answer', 'select, insert');
select wall_up('recompute_difference', 'select');
select wall_up('sla_breach', 'select');
select wall_up('quiet_hours', 'select, insert', seen =>
    'subject not like ''patient:%'' or exists (select from people.mine v where subject = ''patient:'' || v.patient_id)');
-- The keys that open a patient's name and frames; only the house makes them.
select wall_up('data_key', 'select');
select wall_up('reading_raw', 'select');
grant select on patient_identity, reading_frames to homevigil_people; -- they look with the eyes of whoever asks
-- A reading that went from one patient to another is a matter of both.
select wall_up('reading_correction', 'select, insert', seen =>
    'exists (select from people.mine v where v.patient_id in (stored_as, from_patient_id, to_patient_id))');
select wall_up('reading_elsewhere', 'select, insert, update, delete', seen =>
    'exists (select from people.mine v where v.patient_id in (stored_as, reading_elsewhere.patient_id))');
-- What came from a home, or from a meter, is seen by those who see somebody who measures there, or with it.
select wall_up('quarantine', 'select, update', seen =>
    'exists (select from meter_binding b where b.gateway_id = quarantine.gateway_id)
     or exists (select from meter_binding b where b.meter_id = quarantine.meter_id)');
-- What the house notices is seen by all, unless it is about a patient.
select wall_up('alarm', 'select, update', seen =>
    'subject not like ''patient:%'' or exists (select from people.mine v where subject = ''patient:'' || v.patient_id)');
-- What one has asked for oneself.
select wall_up('bulk_export', seen => 'user_id = wall_user()');
select wall_up('audit_look', seen => 'actor = ''user:'' || wall_user()');
-- Everybody writes what they did in their own name; auditors read it.
select wall_up('audit_entry', 'select, insert', seen => 'false');
create policy writing on audit_entry for insert to homevigil_people with check (actor = 'user:' || wall_user());
create policy auditing on audit_entry for select to homevigil_people
    using (exists (select from app_user u where u.user_id = wall_user() and u.role = 'auditor'));
select wall_up('audit_link', 'select', seen => 'exists (select from app_user u where u.user_id = wall_user() and u.role = ''auditor'')');

-- Of accounts, what others may know. Passwords, sessions and secrets are the door's own.
grant select (user_id, login, display_name, role, language, active, created_at) on app_user to homevigil_people;
select wall_open('gateway');
select wall_open('gateway_account');
select wall_open('gateway_progress');
select wall_open('gateway_config');
select wall_open('gateway_diagnosis');
select wall_open('gateway_life');
select wall_open('heartbeat');
select wall_open('recompute_run');
select wall_open('rule_version');
select wall_open('rule_approval', 'select, insert, update');
select wall_open('rule_book', 'select, update');
select wall_open('ladder', 'select, insert');
