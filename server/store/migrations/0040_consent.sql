-- What a patient has agreed to, by purpose, and what follows when it is taken back; who is kept under seal, and who is erased. pre

-- active; paused: nobody watches, for the consent to care was taken back; restricted: kept because the law says so, out of everything
-- else; destroyed: the key is gone.
alter table patient add column standing text not null default 'active'
    check (standing in ('active', 'paused', 'restricted', 'destroyed'));

-- Append-only; the last word on a purpose counts. `text_version`: of the text that was put before the patient; null: none of ours.
create table consent (
    consent_id   bigint generated always as identity primary key,
    patient_id   bigint      not null references patient,
    purpose      text        not null check (purpose in ('care', 'reminders', 'channels', 'research')),
    is_given     boolean     not null,
    text_version int,
    how          text        not null check (how in ('before', 'enrolment', 'paper', 'clinic', 'link')),
    said_at      timestamptz not null,
    recorded_at  timestamptz not null default clock_timestamp(),
    recorded_by  text        not null -- as the audit says it: user:<id>, patient:<id>, cli:<account>, house
);
create index consent_last on consent (patient_id, purpose, consent_id desc);

-- In force before consents were recorded: nobody's monitoring stops because of an upgrade.
insert into consent (patient_id, purpose, is_given, how, said_at, recorded_by)
select patient_id, purpose, true, 'before', now(), 'house'
from patient, unnest(array['care', 'reminders', 'channels']) as purpose
where not is_watchdog order by patient_id;

create trigger consent_is_kept before update or delete or truncate on consent
    for each statement execute function refuse_change();

create function consent_in_force(patient bigint, wanted text) returns boolean language sql stable as $$
    select coalesce((select is_given from consent where patient_id = patient and purpose = wanted
                     order by consent_id desc limit 1), false)
$$;

-- Whether this may be sent at all. Whoever watches nobody tells nobody.
create function push_is_allowed(patient bigint, recipient text, channel text, kind text) returns boolean language sql stable as $$
    select exists (select from patient p where p.patient_id = patient and p.standing = 'active')
       and (kind <> 'plan' or consent_in_force(patient, 'reminders'))
       and (recipient <> 'patient' or channel = 'inbox' or consent_in_force(patient, 'channels'))
$$;

-- Far away: what is due of somebody who is not watched waits until they are again.
create function never() returns timestamptz language sql immutable as $$ select timestamptz '9999-01-01 00:00+00' $$;

create function standing_rules_due() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if exists (select from patient where patient_id = new.patient_id and standing <> 'active') then
        new.due_at := never();
    end if;
    return new;
end $$;
create trigger due_by_standing before insert on due for each row execute function standing_rules_due();

create function consent_rules_push() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    -- Whoever takes consent back waits until this is committed, and then finds the message and cancels it.
    perform from patient where patient_id = new.patient_id for share;
    if new.state = 'pending' and not push_is_allowed(new.patient_id, new.recipient, new.channel, new.kind) then
        new.state := 'cancelled';
        new.why := 'no_consent';
        new.cancelled_at := clock_timestamp();
    end if;
    return new;
end $$;
create trigger push_by_consent before insert on push for each row execute function consent_rules_push();

-- Standing changes what waits, in the transaction that changes it.
create function standing_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if new.standing = 'active' then
        update due set due_at = now() where patient_id = new.patient_id and due_at = never();
        insert into due (patient_id, due_at, since, reason)
        select new.patient_id, now(), coalesce(max(said_at), now()), 'consent' from consent
        where patient_id = new.patient_id and purpose = 'care' and not is_given;
        perform pg_notify('due', '');
    else
        update due set due_at = never() where patient_id = new.patient_id;
        update push set state = 'cancelled', why = 'no_consent', cancelled_at = clock_timestamp()
        where patient_id = new.patient_id and state = 'pending';
    end if;
    return null;
end $$;
create trigger patient_standing_changed after update of standing on patient
    for each row when (old.standing <> new.standing) execute function standing_changed();

create function consent_follows() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if new.purpose = 'care' then
        update patient set standing = case when new.is_given then 'active' else 'paused' end
        where patient_id = new.patient_id and standing = case when new.is_given then 'paused' else 'active' end;
    elsif not new.is_given then
        update push set state = 'cancelled', why = 'no_consent', cancelled_at = clock_timestamp()
        where patient_id = new.patient_id and state = 'pending' and not push_is_allowed(patient_id, recipient, channel, kind);
    end if;
    return null;
end $$;
create trigger consent_follows after insert on consent for each row execute function consent_follows();

-- Nothing of this patient is erased until then. `reason`: sealed.
create table legal_hold (
    hold_id    bigint generated always as identity primary key,
    patient_id bigint      not null references patient,
    reason     bytea       not null,
    made_at    timestamptz not null,
    made_by    text        not null,
    until      timestamptz not null,
    ended_at   timestamptz,
    ended_by   text,
    check (until > made_at)
);
create index legal_hold_of_patient on legal_hold (patient_id);

-- What became of wishes to be erased. `keep_until`: the law has it kept so long; then it is destroyed.
create table erasure (
    erasure_id    bigint generated always as identity primary key,
    patient_id    bigint      not null unique references patient,
    reason        text        not null check (reason in ('asked', 'withdrawn', 'over', 'ordered')),
    asked_at      timestamptz not null,
    asked_by      bigint      not null references app_user,
    second        bigint      not null references app_user,
    keep_until    timestamptz not null,
    restricted_at timestamptz not null,
    destroyed_at  timestamptz,
    check (asked_by <> second)
);

select audit_keep('consent', '{consent_id}', 't.patient_id');
select audit_keep('legal_hold', '{hold_id}', 't.patient_id', is_mutable => true);
select audit_keep('erasure', '{erasure_id}', is_mutable => true);

select wall_up('consent', 'select, insert');
