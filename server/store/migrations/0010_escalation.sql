-- Who is told next when nobody acknowledges, who could not be told, and when the house's watchdog came through last. pre

-- Why a message is sent. What repeats (reminder, escalation) is no longer wanted once somebody has acknowledged; an opening is the
-- record of who was told first; a retraction takes back. What was queued before this migration with a step above 0 told again.
alter table push add column kind text not null default 'opening'
    check (kind in ('opening', 'reminder', 'escalation', 'retraction'));
update push set kind = case when step < 0 then 'retraction' when step = 0 then 'opening' else 'reminder' end where step <> 0;
alter table push alter column kind drop default;

-- `dead`: tried and given up. `undeliverable`: there was no way to this recipient at all. Either brings the next step at once.
alter table push drop constraint push_state_check,
    add constraint push_state_check
        check (state in ('pending', 'sent', 'cancelled', 'withdrawn', 'dead', 'undeliverable'));

-- Whether a message is still to be sent, as its alert stands: what repeats, while nobody has acknowledged; an opening, unless it was
-- not so (taken back, or closed as untrue by a person); that it is taken back, always.
create function push_is_wanted(kind text, state text, resolution text) returns boolean language sql immutable as $$
    select case kind
        when 'retraction' then true
        when 'opening' then state <> 'retracted'
                            and not (state = 'resolved' and coalesce(resolution in ('false_reading', 'meter_problem'), false))
        else state = 'active'
    end
$$;

-- One row: the watchdog's last beats. A beat is claimed here, so that one process beats, however many watch.
create table heartbeat (
    only_one        boolean primary key default true check (only_one),
    next_at         timestamptz not null default '-infinity', -- when a beat may be begun again
    started_at      timestamptz,                              -- of the last beat that was begun
    is_under_way    boolean     not null default false,       -- begun, and its end is not known yet
    came_through_at timestamptz,                              -- when the last one that came through did
    took_s          double precision,                         -- how long that one took, from its beginning to the message sent
    late_part       text                                      -- what did not answer in the last beat; null: it came through
);
insert into heartbeat default values;
