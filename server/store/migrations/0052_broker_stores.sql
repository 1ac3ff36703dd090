-- Of what the broker keeps, its store is looked through, a file; no topic is asked for, which would end the server's own session. pre
alter table erasure_proof rename column topics to broker_stores;
