-- What the house notices about itself: one open row for each kind and subject.

-- name: raise
-- A repeat only counts up, so that an alarm is news once. `is_new` is true for the row that this statement made.
insert into alarm (kind, subject, detail) values (%(kind)s, %(subject)s, %(detail)s)
on conflict (kind, subject) where cleared_at is null do update
set last_seen_at = clock_timestamp(), times = alarm.times + 1, detail = excluded.detail
returning times = 1;

-- name: clear
update alarm set cleared_at = clock_timestamp(), cleared_by = %(cleared_by)s
where kind = %(kind)s and subject = %(subject)s and cleared_at is null;

-- name: clear_others
update alarm set cleared_at = clock_timestamp()
where kind = %(kind)s and cleared_at is null and subject <> all(%(subjects)s::text[])
returning subject;

-- name: open
select alarm_id, kind, subject, detail, raised_at, last_seen_at, times
from alarm where cleared_at is null
order by raised_at, alarm_id;
