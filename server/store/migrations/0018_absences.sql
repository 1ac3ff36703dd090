-- What a judging looks up to tell a silent patient from a home that could not be heard. pre

-- Until then nothing of this home could be heard. Of those heard before this was written down it is not known any more.
alter table gateway add column first_heard_at timestamptz;
update gateway set first_heard_at = enrolled_at where last_heard_at is not null;

create index meter_binding_by_patient on meter_binding (patient_id);
create index alarm_by_subject on alarm (subject, kind);
create index quarantine_by_gateway on quarantine (gateway_id, received_at);
create index quarantine_by_meter_and_time on quarantine (meter_id, received_at);
