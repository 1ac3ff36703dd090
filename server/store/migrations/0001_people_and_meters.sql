-- Who measures, with what, through which gateway, and who may look. pre
create table gateway (
    gateway_id    text primary key,
    zone          text        not null,
    state         text        not null default 'active' check (state in ('active', 'suspended', 'revoked')),
    enrolled_at   timestamptz not null default now(),
    last_heard_at timestamptz,
    last_status   jsonb
);

create table app_user (
    user_id       bigint generated always as identity primary key,
    login         text        not null unique,
    display_name  text        not null,
    role          text        not null check (role in ('doctor', 'nurse', 'admin')),
    language      text        not null default 'zh' check (language in ('zh', 'en')),
    password_hash text        not null,
    active        boolean     not null default true,
    created_at    timestamptz not null default now()
);

create table user_session (
    token_hash   bytea primary key,
    user_id      bigint      not null references app_user,
    csrf_token   text        not null,
    created_at   timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at   timestamptz not null
);

create table login_attempt (
    login        text        not null,
    address      text        not null,
    attempted_at timestamptz not null,
    succeeded    boolean     not null
);
create index login_attempt_by_login on login_attempt (login, attempted_at);

create table patient (
    patient_id  bigint generated always as identity primary key,
    name        text        not null,
    sex         text check (sex in ('female', 'male')),
    birth_date  date,
    phone       text,
    language    text        not null default 'zh' check (language in ('zh', 'en')),
    conditions  text[]      not null default '{}', -- ICD-10 codes
    enrolled_on date        not null,              -- in the patient's own zone
    doctor_id   bigint references app_user,
    created_at  timestamptz not null default now()
);

-- The zone in force from `valid_from` on. A move adds a row; it never re-buckets past days.
create table patient_zone (
    patient_id  bigint      not null references patient,
    valid_from  timestamptz not null,
    zone        text        not null,
    recorded_by text        not null,
    primary key (patient_id, valid_from)
);

-- Who may see whom besides the patient's own doctor. A patient outside it does not exist for a user (404).
create table panel (
    user_id    bigint not null references app_user,
    patient_id bigint not null references patient,
    primary key (user_id, patient_id)
);

-- The signed link to a patient's own page: only the hash is kept.
create table patient_link (
    token_hash bytea primary key,
    patient_id bigint      not null references patient,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz
);

-- A person said that this meter (this user slot of it) is this patient's, in the home of this gateway. Nothing is guessed.
create table meter_binding (
    binding_id bigint generated always as identity primary key,
    meter_id   text        not null,
    user_slot  smallint,
    gateway_id text        not null references gateway,
    patient_id bigint      not null references patient,
    bound_by   text        not null,
    valid_from timestamptz not null,
    valid_to   timestamptz
);
create unique index meter_binding_in_force on meter_binding (meter_id, coalesce(user_slot, -1)) where valid_to is null;

-- A patient's own threshold for a rule: versioned, with who set it. The newest version is in force; 0 is the rule's own.
create table patient_threshold (
    patient_id bigint      not null references patient,
    rule_id    text        not null,
    version    int         not null check (version >= 1),
    parameters jsonb       not null,
    set_by     text        not null,
    set_at     timestamptz not null,
    primary key (patient_id, rule_id, version)
);
