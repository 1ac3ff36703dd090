-- What the judge had to put off is told from what waits for its hour. pre
-- A row may be due in the future because its hour is then (a snooze ends, an answer is due), or because judging broke.
alter table due add column is_put_off boolean not null default false;
