-- Why a patient has numbers of their own: said by whoever set them. What was set before has none. pre
alter table patient_threshold add column reason text not null default '';
