-- What clinicians say of readings, and whose each is since. No statement here changes a reading.

-- name: lock_reading
-- One at a time decides about a reading; waited for, because decisions take milliseconds.
select pg_advisory_xact_lock(hashtextextended('homevigil reading ' || %(reading_id)s::uuid, 0));

-- name: standing
-- Asked after the lock, so that a correction just made is seen. `owner_id`: whose it is now; null: nobody's.
select r.stored_as, r.kind, r.measured_at, r.standing,
       case when r.is_elsewhere then r.owner_id else r.stored_as end as owner_id,
       (select count(*) + 1 from reading_correction c where c.reading_id = r.reading_id)::int as version
from reading_on_record r
where r.patient_id = %(patient_id)s and r.reading_id = %(reading_id)s;

-- name: last_correction
select c.made_at as changed_at, u.display_name as changed_by
from reading_correction c join app_user u on u.user_id = c.made_by
where c.reading_id = %(reading_id)s
order by c.version desc
limit 1;

-- name: enrolled_on
select enrolled_on from patient where patient_id = %(patient_id)s;

-- name: note
insert into reading_correction (reading_id, version, action, reason, said_in, note_sealed, made_by, made_at, stored_as, kind,
                                measured_at, from_patient_id, to_patient_id)
values (%(reading_id)s, %(version)s, %(action)s, %(reason)s, %(said_in)s, %(note_sealed)s, %(user_id)s, %(now)s, %(stored_as)s,
        %(kind)s, %(measured_at)s, %(owner_id)s, %(to_patient_id)s);

-- name: put_elsewhere
insert into reading_elsewhere (stored_as, reading_id, patient_id, kind, measured_at)
values (%(stored_as)s, %(reading_id)s, %(to_patient_id)s, %(kind)s, %(measured_at)s)
on conflict (stored_as, reading_id) do update set patient_id = excluded.patient_id;

-- name: put_back
delete from reading_elsewhere where stored_as = %(stored_as)s and reading_id = %(reading_id)s;

-- name: list_corrections
-- The life of these readings, oldest first. A patient whom the user does not see has no name and no number here, and what was noted in
-- that patient's record no words.
select c.reading_id, c.version, c.action, c.reason, c.note as plain_note, vault_envelope(c.said_in, k.wrapped, c.note_sealed) as sealed_note, u.display_name as made_by, c.made_at,
       f.patient_id as from_patient_id, f.identity as from_name, t.patient_id as to_patient_id, t.identity as to_name
from reading_correction c
join app_user u on u.user_id = c.made_by
left join data_key k on k.patient_id = c.said_in
                    and c.said_in in (select patient_id from panel_member where user_id = %(user_id)s)
left join patient_identity f on f.patient_id = c.from_patient_id
                       and f.patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
left join patient_identity t on t.patient_id = c.to_patient_id
                       and t.patient_id in (select patient_id from panel_member where user_id = %(user_id)s)
where c.reading_id = any(%(reading_ids)s::uuid[])
order by c.reading_id, c.version;

-- name: list_candidates
-- Whose a reading could be said to be: everybody whom the user sees, the house's watchdog is nobody.
select p.patient_id, i.identity as name, i.identity as birth_date
from panel_member m join patient p using (patient_id) join patient_identity i using (patient_id)
where m.user_id = %(user_id)s and not p.is_watchdog
order by p.patient_id;
