-- What open pages hear.

-- name: listen
listen worklist;

-- name: users_seeing
-- Whose open pages a change concerns.
select distinct user_id from panel_member
where patient_id = any (%(patient_ids)s) and user_id = any (%(user_ids)s);
