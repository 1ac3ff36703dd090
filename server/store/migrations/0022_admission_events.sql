-- What was done about who may be a gateway, by whom, and what was refused. pre

-- Append-only. `gateway_id`: as it was said, for a try may name one that there never was. `by_login`: the person, null where a box
-- asked, with `asked_from` then. Never a code, a key or a whole certificate.
create table admission_event (
    event_id   bigint generated always as identity primary key,
    at         timestamptz not null,
    act        text        not null check (act in (
        'claim_made', 'claim_refused', 'admitted', 'admitted_again', 'renewed', 'renewed_again', 'renewal_refused',
        'certificate_revoked', 'gateway_revoked', 'gateway_restored')),
    gateway_id text,
    by_login   text,
    asked_from text,
    serial     text,
    detail     text
);
create index admission_event_of on admission_event (gateway_id, event_id);
create index admission_event_refused on admission_event (at) where act in ('claim_refused', 'renewal_refused');
create trigger admission_event_is_kept before update or delete or truncate on admission_event
    for each statement execute function refuse_change();
