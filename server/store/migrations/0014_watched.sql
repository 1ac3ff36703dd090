-- Not every rule speaks of every patient: somebody may choose one for a patient, or switch it off. pre

-- Versioned with the patient's own numbers for the rule, because both decide by what the patient is judged.
alter table patient_threshold add column is_watched boolean; -- null: as the rule says
