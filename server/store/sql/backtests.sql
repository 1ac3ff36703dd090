-- Whose past rules are tried on. Reads only.

-- name: read_only
set transaction isolation level repeatable read, read only;

-- name: panel
-- Those whom somebody sees, by name for a page.
select m.patient_id, i.identity from panel_member m join patient p using (patient_id) join patient_identity i using (patient_id)
where m.user_id = %(user_id)s and not p.is_watchdog
order by m.patient_id;

-- name: patients
-- Everybody whom the wish does not leave out, with their ICD-10 codes. The house's watchdog is nobody.
select p.patient_id, p.conditions
from patient p
where not p.is_watchdog
  and (%(patient_ids)s::bigint[] is null or p.patient_id = any(%(patient_ids)s::bigint[]))
  and (%(login)s::text is null
       or exists (select from panel_member m join app_user u using (user_id)
                  where m.patient_id = p.patient_id and u.login = %(login)s::text))
order by p.patient_id;
