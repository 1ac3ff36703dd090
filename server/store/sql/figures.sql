-- Figures of one's own panel, for the head of the worklist and whoever asks.

-- name: of_panel
-- Alerts that were found in the last seven days and told, or were to be told, to a clinician. Acknowledged after: from the first
-- message to a clinician that was sent, or from when it was found where none was.
with mine as (
    select e.* from episode e join panel_member m using (patient_id)
    where m.user_id = %(user_id)s and e.judged_at > %(now)s - interval '7 days' and e.state <> 'retracted'
      and exists (select from push s where s.episode_id = e.episode_id and s.recipient <> 'patient' and s.kind <> 'retraction')
), waits as (
    select extract(epoch from e.acknowledged_at - coalesce(
        (select min(s.sent_at) from push s where s.episode_id = e.episode_id and s.recipient <> 'patient'), e.judged_at)) as after_s
    from mine e where e.acknowledged_at is not null
)
select (select count(*) from mine) as alerts,
       (select count(*) from panel_member m join patient p using (patient_id)
        where m.user_id = %(user_id)s and not p.is_watchdog) as patients,
       (select count(*) from waits) as acknowledged,
       (select percentile_cont(0.5) within group (order by greatest(after_s, 0)) from waits) as acknowledged_after_s,
       (select count(*) from mine e where e.answered_at is not null
            or exists (select from sla_breach b where b.episode_id = e.episode_id)) as urgent,
       (select count(*) from mine e where e.answered_at <= e.answer_by
            and not exists (select from sla_breach b where b.episode_id = e.episode_id)) as urgent_in_time,
       (select count(*) from mine e where e.is_useful is not null) as rated,
       (select count(*) from mine e where e.is_useful) as useful;
