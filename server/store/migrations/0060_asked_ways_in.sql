-- How often a way in that asks for no login was asked from one address: passkeys, the house's own sign-in, programs. pre

-- A row a request; one that led to a session goes again. What is older than the limit's time goes with the next request.
create table way_asked (
    way      text        not null check (way in ('passkey', 'house', 'program')),
    address  text        not null, -- of IPv6 the household's
    asked_at timestamptz not null
);
create index way_asked_from on way_asked (way, address, asked_at);
create index way_asked_by_time on way_asked (asked_at);
