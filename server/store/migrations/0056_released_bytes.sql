-- What has been released from quarantine keeps no bytes there: they are the patient's, sealed with the patient's key. pre

update quarantine set raw = '' where released_as in ('stored', 'repeated') and raw <> '';
