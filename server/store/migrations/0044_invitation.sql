-- Who has an account chooses the password alone: a link that opens once and sets it. pre

-- One in force for each account: a newer one takes the place of an older. By its hash: who reads the table opens nothing.
create table invitation (
    user_id    bigint primary key references app_user,
    token_hash bytea       not null unique,
    made_at    timestamptz not null,
    expires_at timestamptz not null,
    check (expires_at > made_at)
);
