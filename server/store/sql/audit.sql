-- Who did what, and who looked at whose record. Nothing is ever changed or deleted here.

-- name: note
insert into audit_entry (at, actor, act, patient_id, subject, detail)
values (%(at)s, %(actor)s, %(act)s, %(patient_id)s, %(subject)s, %(detail)s);
