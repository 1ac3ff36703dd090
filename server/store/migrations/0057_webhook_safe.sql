-- A webhook's secrets lie sealed with the house's key, as a channel's do: where they will lie. pre
alter table webhook
    add column sealed     bytea,
    add column old_sealed bytea;
