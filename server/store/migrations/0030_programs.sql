-- Programs of other houses that read in the name of an account here, and what they have asked for as a whole. pre

-- A program proves who it is by a key of its own (SMART Backend Services); here are only the public halves. It sees what its account
-- sees, and nothing once that is closed.
create table program (
    program_id text primary key check (program_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    user_id    bigint      not null references app_user,
    keys       jsonb       not null, -- a JSON Web Key Set
    added_at   timestamptz not null,
    removed_at timestamptz
);

-- What a program has signed is good once: who overhears it cannot use it again. Kept until it would have ended by itself.
create table program_assertion (
    program_id text        not null references program,
    jti        text        not null,
    ends_at    timestamptz not null,
    primary key (program_id, jti)
);
create index program_assertion_by_end on program_assertion (ends_at);

-- A bulk export: what was asked for, and up to when. No file is made of it: each part is read when it is fetched, as it stood.
create table bulk_export (
    export_id  uuid primary key,
    user_id    bigint      not null references app_user,
    kinds      text[]      not null, -- FHIR's resource types
    since      timestamptz,
    until      timestamptz not null,
    ends_at    timestamptz not null,
    ended_at   timestamptz
);
create index bulk_export_of on bulk_export (user_id, until);
