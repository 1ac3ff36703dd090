-- What there is of a patient from before the window, and when nothing of the patient could be heard. Asked for rules about what was
-- not measured alone.

-- name: last_counted
-- The newest reading that counts. Each kind is looked up from its newest end.
select max(newest.measured_at)
from unnest(%(kinds)s::text[]) k (kind)
cross join lateral (
    select measured_at
    from reading
    where patient_id = %(patient_id)s and kind = k.kind and measured_at < %(before)s
      and quality = 'accepted' and time_quality <> 'orphan'
    order by measured_at desc limit 1
) newest;

-- name: unheard
-- From `since` on, what overlaps as one; an upper end that is null lasts. Nobody was heard; a gateway of the patient's was not heard,
-- was shut out, or has never been heard yet; no meter was bound; or what may be the patient's waits for somebody to say whose it is.
-- Of a gateway only the time in which the patient had a meter there counts.
with theirs as materialized (
    select gateway_id, meter_id, tstzrange(valid_from, valid_to) as bound
    from meter_binding where patient_id = %(patient_id)s
), waiting as (
    select q.received_at, q.resolved_at from theirs join quarantine q using (gateway_id)
    where q.reason = any(%(wanting)s) and q.received_at > %(since)s - %(waits_for)s::interval
    union all
    select q.received_at, q.resolved_at from theirs join quarantine q using (meter_id)
    where q.reason = any(%(wanting)s) and q.received_at > %(since)s - %(waits_for)s::interval
), spans (span) as (
    select tstzrange(raised_at, cleared_at) from alarm
    where subject = '' and kind = 'nobody_heard' and (cleared_at is null or cleared_at > greatest(raised_at, %(since)s))
    union all
    select tstzrange(raised_at, cleared_at) * bound from theirs join alarm on subject = gateway_id
    where kind in ('gateway_unheard', 'gateway_suspended') and (cleared_at is null or cleared_at > greatest(raised_at, %(since)s))
    union all
    select tstzrange(enrolled_at, first_heard_at) * bound from theirs join gateway using (gateway_id)
    where first_heard_at is null or first_heard_at > greatest(enrolled_at, %(since)s)
    union all
    select tstzrange(coalesce(last_heard_at, enrolled_at), null) * bound from theirs join gateway using (gateway_id)
    where state <> 'active'
    union all
    select tstzrange(received_at, least(resolved_at, received_at + %(waits_for)s::interval)) from waiting
    union all
    select unnest(tstzmultirange(tstzrange(%(since)s, null)) - coalesce((select range_agg(bound) from theirs), '{}'))
)
select lower(span), upper(span)
from unnest((select range_agg(span) from spans)) span
where upper(span) is null or upper(span) > %(since)s;
