-- A quarantined reading may become a patient's after all, once a person has bound its meter. pre

-- What the row became when it was released; null while it lies here. A released row is no longer counted as quarantined: in
-- one transaction the account's `quarantined` falls and its `stored` rises (or `repeated`, had the reading come another way
-- meanwhile), so received = stored + repeated + quarantined holds before, during and after. A row at which a person has only
-- looked (resolved, not released) stays counted.
alter table quarantine
    add column released_as text check (released_as in ('stored', 'repeated')),
    add constraint quarantine_released_by_somebody
        check (released_as is null or (resolved_at is not null and resolved_by is not null));
create index quarantine_by_meter on quarantine (meter_id) where resolved_at is null;
