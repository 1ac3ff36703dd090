-- Looking for what is left of somebody erased waits for a loop of the server, so that nobody's request does. pre

-- One search to come. What is looked for must not be kept: it is sealed with a key of its own (`data_key`, holder `search:<number>`),
-- and both go in the transaction in which the proof is written down. A search that is cut off is begun anew.
create table erasure_search (
    search_id  bigint generated always as identity primary key,
    patient_id bigint      not null unique references patient,
    asked_at   timestamptz not null,
    asked_by   text        not null, -- an actor, as in the audit
    traces     bytea
);
