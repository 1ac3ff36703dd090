-- Who may use which records for research, under other names: projects, and what was given out. pre

-- A project gives its patients names of its own, made with `key` (sealed with the key of holder `research:<project_id>`). It may take
-- nothing before a second person lets it; once its key is destroyed nobody can say any more who was who.
create table research_project (
    project_id  bigint generated always as identity primary key,
    name        text        not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    purpose     text        not null check (purpose <> ''), -- what is to be found out; of no patient
    key         bytea       not null,
    asked_by    bigint      not null references app_user,
    asked_at    timestamptz not null,
    approved_by bigint      references app_user,
    approved_at timestamptz,
    ended_by    bigint      references app_user,
    ended_at    timestamptz,
    check (approved_by <> asked_by),
    check ((approved_by is null) = (approved_at is null)),
    check ((ended_by is null) = (ended_at is null))
);

-- Append-only. `digest`: of the manifest, which has the digest of every file.
create table research_export (
    export_id  bigint generated always as identity primary key,
    project_id bigint      not null references research_project,
    made_at    timestamptz not null,
    made_by    bigint      not null references app_user,
    patients   int         not null,
    readings   bigint      not null,
    alerts     bigint      not null,
    digest     bytea       not null check (length(digest) = 32)
);
create trigger research_export_is_kept before update or delete or truncate on research_export
    for each statement execute function refuse_change();

-- Who has ever been in what a project was given, so that it can be told whom to delete.
create table research_member (
    project_id   bigint not null references research_project,
    patient_id   bigint not null references patient,
    first_export bigint not null references research_export,
    primary key (project_id, patient_id)
);
create index research_member_of_patient on research_member (patient_id);

select audit_keep('research_project', '{project_id}', is_mutable => true);
select audit_keep('research_export', '{export_id}');
