-- What may be told as one message: to a person, not urgent, and no step of a ladder. pre
create function push_is_groupable(kind text, recipient text, is_urgent boolean) returns boolean language sql immutable as $$
    select kind in ('opening', 'reminder') and not is_urgent and split_part(recipient, ':', 1) in ('user', 'patient')
$$;
create index push_together on push (together_with) where together_with is not null;
