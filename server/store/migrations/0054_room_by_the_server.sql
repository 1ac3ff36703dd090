-- Room for readings is made by the server itself; a person's request has no right to it. pre
revoke execute on function reading_make_room(timestamptz) from public;
grant execute on function reading_make_room(timestamptz) to homevigil_service;
