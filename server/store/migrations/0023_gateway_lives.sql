-- Processes of a gateway that have given way to another. One of them that speaks again had not ended: a card was copied. pre
create table gateway_life (
    gateway_id  text        not null references gateway,
    life        text        not null,
    up_s        numeric     not null, -- how long it had run when it was last heard
    gave_way_at timestamptz not null,
    returns     integer     not null default 0,
    primary key (gateway_id, life)
);
