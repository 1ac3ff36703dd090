-- What the clinic wants of its gateways, and what they say of themselves when asked. pre

-- One document for each gateway, as it is published; the revision counts up. Not published: to be published as soon as intake looks.
create table gateway_config (
    gateway_id   text primary key references gateway,
    revision     bigint      not null check (revision > 0),
    document     jsonb       not null,
    changed_at   timestamptz not null,
    published_at timestamptz
);
create index gateway_config_unpublished on gateway_config (gateway_id) where published_at is null;

-- The newest few of each gateway; the gateway has taken out what nobody but the home may know.
create table gateway_diagnosis (
    gateway_id  text        not null references gateway,
    request     text        not null,
    received_at timestamptz not null default now(),
    document    jsonb       not null,
    primary key (gateway_id, request)
);
