-- What holds a message back and what hurries one: urgency, groups, quiet hours, a clinic's own ladders, and the clock of ten minutes. pre

-- `is_urgent`: it passes quiet hours and groups. `together_with`: it was told with that message, as one.
alter table push
    add column is_urgent     boolean not null default false,
    add column together_with uuid references push;
create index push_by_recipient on push (patient_id, recipient, channel, sent_at) where kind in ('opening', 'reminder');

-- `breach`: no decision is on record in time. `plan`: what a patient has planned.
alter table push drop constraint push_kind_check,
    add constraint push_kind_check check (kind in ('opening', 'reminder', 'escalation', 'retraction', 'plan', 'breach'));

-- As before, and: that nobody has decided in time is told to the end, unless somebody has.
create or replace function push_is_wanted(kind text, state text, resolution text) returns boolean language sql immutable as $$
    select case kind
        when 'retraction' then true
        when 'opening' then state <> 'retracted'
                            and not (state = 'resolved' and coalesce(resolution in ('false_reading', 'meter_problem'), false))
        when 'plan' then true
        when 'breach' then state in ('active', 'acknowledged')
        else state = 'active'
    end
$$;

-- Append-only: urgent alerts about which nobody had decided when the time was over.
create table sla_breach (
    breach_id  bigint generated always as identity primary key,
    episode_id uuid        not null references episode,
    patient_id bigint      not null references patient,
    known_at   timestamptz not null, -- when the server had the reading
    answer_by  timestamptz not null,
    noticed_at timestamptz not null,
    unique (episode_id, answer_by)
);
create trigger sla_breach_is_kept before update or delete on sla_breach
    for each statement execute function refuse_change();

-- Append-only: who is told next when nobody acknowledges, in the clinic's own words. The newest holds; none: the product's own.
create table ladder (
    version    bigint generated always as identity primary key,
    steps      jsonb       not null, -- {"high": [{"whom": "backup", "after_s": 180}, …], …}
    supervisor bigint references app_user,
    set_at     timestamptz not null,
    set_by     text        not null
);
create trigger ladder_is_kept before update or delete on ladder
    for each statement execute function refuse_change();

-- Append-only: between which times of the patient's wall clock nothing but what is urgent is told. The newest of a subject holds;
-- both null: none. `subject`: 'clinicians' and 'patients' for all who have none of their own, 'user:<id>', 'patient:<id>'.
create table quiet_hours (
    quiet_id  bigint generated always as identity primary key,
    subject   text        not null check (subject ~ '^(clinicians|patients|user:[0-9]+|patient:[0-9]+)$'),
    begins_at time,
    ends_at   time,
    set_at    timestamptz not null,
    set_by    text        not null,
    check ((begins_at is null) = (ends_at is null) and (begins_at is null or begins_at <> ends_at))
);
create index quiet_hours_of on quiet_hours (subject, quiet_id);
create trigger quiet_hours_are_kept before update or delete on quiet_hours
    for each statement execute function refuse_change();

select audit_keep('sla_breach', '{breach_id}', 't.patient_id');
select audit_keep('ladder', '{version}');
select audit_keep('quiet_hours', '{quiet_id}');
