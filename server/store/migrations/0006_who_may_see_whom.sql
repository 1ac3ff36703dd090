-- Who may see whom, said once: a patient's own doctor, and whoever has the patient on a panel. No role sees more. pre
create view panel_member as
    select doctor_id as user_id, patient_id from patient where doctor_id is not null
    union
    select user_id, patient_id from panel;
create index patient_by_doctor on patient (doctor_id);
create index login_attempt_by_time on login_attempt (attempted_at);
create index patient_link_by_patient on patient_link (patient_id);
create index push_by_episode on push (episode_id);
