-- What the nightly retention did, so that it is done once a night by whoever comes first. pre

-- Append-only. `removed`: rows by clock; `destroyed`: how many patients, whose numbers are in the audit.
create table retention_run (
    run_id    bigint generated always as identity primary key,
    ran_at    timestamptz not null,
    removed   jsonb       not null,
    destroyed int         not null
);
create trigger retention_run_is_kept before update or delete or truncate on retention_run
    for each statement execute function refuse_change();
select audit_keep('retention_run', '{run_id}');
