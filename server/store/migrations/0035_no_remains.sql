-- no-transaction
-- The old versions of rows lie in the tables' files until these are written anew. post
vacuum full patient;
vacuum full quarantine;
vacuum full quarantine_day;
