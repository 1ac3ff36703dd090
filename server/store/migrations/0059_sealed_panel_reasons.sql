-- Why somebody's panel was changed is sealed with the patient's key; what was written in plain before goes with an erasure. pre

-- Rows that the audit has sealed are not written anew: an older reason stays where it is until its patient is erased.
alter table panel_change
    add column reason_sealed bytea,
    alter column reason set default '',
    drop constraint panel_change_reason_check;

-- Nothing of a change of a panel changes but that its plain words go, and only with the patient.
create function only_panel_words_go() returns trigger language plpgsql as $$
begin
    old.reason := '';
    if new is not distinct from old
       and exists (select from patient where standing = 'restricted' and patient_id = new.patient_id) then
        return new;
    end if;
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op) using errcode = 'restrict_violation';
end $$;
drop trigger panel_change_is_kept on panel_change;
create trigger panel_change_is_kept before delete or truncate on panel_change
    for each statement execute function refuse_change();
create trigger panel_change_stays before update on panel_change
    for each row execute function only_panel_words_go();
