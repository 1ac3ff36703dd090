-- Version 1 did not tell a reading that the server had refused from one that was never sent, and knew no rewind.
alter table reading rename column confirmed_at to answered_at;
alter table reading add column rewound_at text;
create index reading_rewound on reading (seq)
    where rewound_at is not null and answered_at is null and rejected_reason is null;
create index reading_unsendable on reading (seq) where rejected_reason is not null and answered_at is null;
-- The only reason of our own in version 1 was 'oversize'. When the server refused, was not noted: not before it was kept.
update reading set answered_at = kept_at where rejected_reason is not null and rejected_reason <> 'oversize';
