-- Open worklists hear of every change that they show: which patient's, never what. A hint alone; whoever hears it reads again. pre
create function ring_worklist() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        perform pg_notify('worklist', old.patient_id::text);
    else
        perform pg_notify('worklist', new.patient_id::text);
    end if;
    return null;
end
$$;

create trigger episode_rings after insert on episode for each row execute function ring_worklist();
create trigger episode_rings_again after update on episode for each row
    when (new.version is distinct from old.version) execute function ring_worklist();
create trigger panel_rings after insert or delete on panel for each row execute function ring_worklist();
create trigger patient_rings after update on patient for each row
    when (new.doctor_id is distinct from old.doctor_id) execute function ring_worklist();
