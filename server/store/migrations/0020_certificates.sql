-- Certificates that the clinic's own authority has given to gateways, and the codes by which a new box claims one.

-- `key_hash`: SHA-256 of the public key. `renewed_from`: the certificate by which this one was asked for.
create table gateway_certificate (
    serial       text primary key check (serial ~ '^[0-9a-f]{1,40}$'),
    gateway_id   text        not null references gateway,
    key_hash     bytea       not null,
    certificate  text        not null,
    not_before   timestamptz not null,
    not_after    timestamptz not null,
    issued_at    timestamptz not null,
    renewed_from text references gateway_certificate,
    revoked_at   timestamptz
);
create index gateway_certificate_of on gateway_certificate (gateway_id, issued_at);
create index gateway_certificate_revoked on gateway_certificate (not_after) where revoked_at is not null;

-- The code itself is never stored. One claim of a gateway is open at a time: a new one ends those before.
create table gateway_claim (
    claim_id   bigint generated always as identity primary key,
    gateway_id text        not null references gateway,
    code_hash  bytea       not null,
    made_by    text        not null,
    made_at    timestamptz not null,
    expires_at timestamptz not null,
    tries_left smallint    not null check (tries_left >= 0),
    used_at    timestamptz,
    serial     text references gateway_certificate
);
create index gateway_claim_of on gateway_claim (gateway_id, claim_id);
