-- A webhook's secrets are kept in no plain words any more. Before it, `migrate` seals what is there. post
do $$
begin
    if exists (select from webhook where sealed is null or (old_sealed is null) <> (old_secret is null)) then
        raise exception 'there are secrets that have not been sealed: run `python -m server migrate` of this build, not the file alone';
    end if;
end $$;
alter table webhook drop column secret, drop column old_secret;
alter table webhook rename column sealed to secret;
alter table webhook rename column old_sealed to old_secret;
alter table webhook
    alter column secret set not null,
    add check ((old_secret is null) = (old_until is null));
