-- When somebody last proved who they are within a session; and whom of the house's own sign-in an admin expects for an account. pre

-- Null: a session that nobody opened in person (a program's), or of before this column.
alter table user_session add column proved_at timestamptz;

-- Until now the first who came from the house's own sign-in under a login became its account. From now on an admin says so before.
create table house_expected (
    user_id    bigint primary key references app_user,
    name       text        not null unique, -- what the house's own sign-in calls the person
    made_at    timestamptz not null,
    expires_at timestamptz not null
);
