-- A webhook's secret is replaced without a gap: until then the old one signs as well. pre
alter table webhook
    add column old_secret text,
    add column old_until timestamptz,
    add check ((old_secret is null) = (old_until is null));
