-- Signing in without a password: by a passkey of one's own, or by the house's own sign-in (OpenID Connect). pre

-- A passkey: here is only its public half. `sign_count` never falls; one that does was copied.
create table passkey (
    passkey_id   bytea primary key, -- as the authenticator names it
    user_id      bigint      not null references app_user,
    public_key   bytea       not null,
    sign_count   bigint      not null,
    name         text        not null,
    added_at     timestamptz not null,
    last_used_at timestamptz,
    removed_at   timestamptz
);
create index passkey_of on passkey (user_id);

-- What a browser was asked to sign, or was sent away with, good once and for minutes. By its hash: who reads the table cannot answer.
create table sign_in_question (
    question_hash bytea primary key,
    purpose       text        not null check (purpose in ('add_passkey', 'by_passkey', 'by_house')),
    user_id       bigint      references app_user, -- who adds a passkey; null: nobody is known yet
    kept          jsonb       not null default '{}',
    ends_at       timestamptz not null
);
create index sign_in_question_by_end on sign_in_question (ends_at);

-- Who of the house's own sign-in is which account: said once, at the first time, by the login; from then on by the subject alone.
create table house_identity (
    issuer   text        not null,
    subject  text        not null,
    user_id  bigint      not null references app_user,
    bound_at timestamptz not null,
    primary key (issuer, subject)
);
create unique index house_identity_of on house_identity (issuer, user_id);
