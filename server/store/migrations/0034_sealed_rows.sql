-- What has been sealed is not kept a second time in plain. Before it, `migrate` seals what is there. post
do $$
begin
    if exists (select from reading_raw_plain) or exists (select from patient where identity is null)
       or exists (select from quarantine where not is_sealed) or exists (select from quarantine_day where not is_sealed) then
        raise exception 'there are rows that have not been sealed: run `python -m server migrate` of this build, not the file alone';
    end if;
end $$;
drop table reading_raw_plain;
alter table patient drop column name, drop column phone, drop column birth_date;
alter table quarantine drop column is_sealed;
alter table quarantine_day drop column is_sealed;
