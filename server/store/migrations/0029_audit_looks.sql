-- When a look was noted last: a page that is looked at again and again is written down once in some minutes. pre

-- `patient_id` 0: a list, of nobody alone. Not a record: that is in `audit_entry`.
create table audit_look (
    actor      text        not null,
    patient_id bigint      not null,
    kind       text        not null,
    noted_at   timestamptz not null,
    primary key (actor, patient_id, kind)
);
