-- Notes of corrections and reasons of a patient's own numbers are sealed; what was written in plain before goes with an erasure. pre

-- `said_in`: in whose record it was said, and whose key seals the note. Rows that the audit has sealed are not written anew: an older
-- note stays where it is until its patient is erased.
alter table reading_correction
    add column said_in     bigint references patient,
    add column note_sealed bytea,
    add constraint reading_correction_note_has_a_key check (note_sealed is null or said_in is not null);
alter table patient_threshold add column reason_sealed bytea;

-- Nothing of a correction changes but that its plain words go, and only with the patient.
create function only_words_go() returns trigger language plpgsql as $$
begin
    old.note := '';
    if new is not distinct from old
       and exists (select from patient where standing = 'restricted'
                   and patient_id in (new.stored_as, new.from_patient_id, new.to_patient_id, new.said_in)) then
        return new;
    end if;
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op) using errcode = 'restrict_violation';
end $$;
drop trigger reading_correction_is_kept on reading_correction;
create trigger reading_correction_is_kept before delete or truncate on reading_correction
    for each statement execute function refuse_change();
create trigger reading_correction_stays before update on reading_correction
    for each row execute function only_words_go();
