-- The chain over what was written down: what waits to be sealed, links, seals, anchors. Nothing sealed is ever changed or deleted.

-- name: lock
-- One seals at a time; the others come again.
select pg_try_advisory_xact_lock(hashtextextended('homevigil audit seal', 0));

-- name: ledgers
-- The tables that are sealed, with their columns and types as they are now.
select l.ledger, l.key_columns, l.patient, l.is_mutable, l.is_keyed,
       array(select attname::text from pg_attribute a where a.attrelid = l.ledger::regclass and attnum > 0 and not attisdropped
             order by attnum) as columns,
       array(select (select format_type(a.atttypid, null) from pg_attribute a where a.attrelid = l.ledger::regclass and a.attname = k)
             from unnest(l.key_columns) as k) as key_types
from audit_ledger l order by l.ledger;

-- name: due
-- What waits, in the order in which it was written. The watchdog is nobody, and its rows go again.
select due_id, ledger, key, patient_id, members, patient_id is not null and exists (
           select from patient p where p.patient_id = d.patient_id and p.is_watchdog) as is_nobodys
from audit_due d order by due_id limit %(limit)s;

-- name: forget_due
delete from audit_due where due_id = any(%(due_ids)s::bigint[]);

-- name: head
select s.seal, s.last_seq as seq, s.head, s.hash from audit_seal s order by seal desc limit 1;

-- name: patient_heads
select patient_id, max(of_patient) from audit_link where patient_id = any(%(patient_ids)s::bigint[]) group by patient_id;

-- name: make_keys
insert into audit_key (patient_id, key)
select patient_id, key from unnest(%(patient_ids)s::bigint[], %(keys)s::bytea[]) as k (patient_id, key)
order by patient_id
on conflict do nothing;

-- name: keys
select patient_id, key from audit_key where patient_id = any(%(patient_ids)s::bigint[]);

-- name: all_keys
select patient_id, key from audit_key;

-- name: destroy_key
-- A patient about whom nothing was sealed gets a key that is destroyed already: none is made later.
insert into audit_key (patient_id, key, made_at, destroyed_at) values (%(patient_id)s, null, %(now)s, %(now)s)
on conflict (patient_id) do update set key = null, destroyed_at = %(now)s where audit_key.key is not null;

-- name: shapes
select shape, ledger, columns from audit_shape order by shape;

-- name: add_shape
insert into audit_shape (ledger, columns) values (%(ledger)s, %(columns)s) on conflict do nothing;

-- name: readings
select r.* from reading r
join unnest(%(patient_ids)s::bigint[], %(kinds)s::text[], %(instants)s::timestamptz[], %(reading_ids)s::uuid[])
     as w (patient_id, kind, measured_at, reading_id)
  on r.patient_id = w.patient_id and r.kind = w.kind and r.measured_at = w.measured_at and r.reading_id = w.reading_id;

-- name: raws
select * from reading_raw where reading_id = any(%(reading_ids)s::uuid[]);

-- name: raw_columns
select attname::text from pg_attribute
where attrelid = 'reading_raw'::regclass and attnum > 0 and not attisdropped order by attnum;

-- name: add_links
insert into audit_link (seq, ledger, key, patient_id, of_patient, shape, digest, hash, parts)
select seq, ledger, key, patient_id, of_patient, shape, digest, hash, parts
from unnest(%(seq)s::bigint[], %(ledger)s::text[], %(key)s::text[], %(patient_id)s::bigint[], %(of_patient)s::bigint[],
            %(shape)s::int[], %(digest)s::bytea[], %(hash)s::bytea[], %(parts)s::bytea[])
     as t (seq, ledger, key, patient_id, of_patient, shape, digest, hash, parts);

-- name: add_reading_link
-- PostgreSQL has no array of arrays of unlike lengths: links of readings are written one by one.
insert into audit_link (seq, ledger, key, patient_id, of_patient, shape, digest, hash, members, parts)
values (%(seq)s, %(ledger)s, %(key)s, %(patient_id)s, %(of_patient)s, %(shape)s, %(digest)s, %(hash)s, %(members)s, %(parts)s);

-- name: add_seal
insert into audit_seal (seal, at, first_seq, last_seq, root, head, hash)
values (%(seal)s, %(at)s, %(first_seq)s, %(last_seq)s, %(root)s, %(head)s, %(hash)s);

-- name: links
-- So many links after one of them, in order.
select seq, ledger, key, patient_id, of_patient, shape, digest, hash, members, parts
from audit_link where seq > %(after)s order by seq limit %(limit)s;

-- name: links_of_patient
select seq, ledger, key, patient_id, of_patient, shape, digest, hash, members, parts
from audit_link
where patient_id = %(patient_id)s and seq between %(first_seq)s and %(last_seq)s order by of_patient;

-- name: link_hashes
select seq, hash from audit_link where seq between %(first_seq)s and %(last_seq)s order by seq;

-- name: seals
select seal, at, first_seq, last_seq, root, head, hash from audit_seal
where seal >= %(first_seal)s and seal <= coalesce(%(last_seal)s, 9223372036854775807) order by seal limit %(limit)s;

-- name: snapshot
-- What is looked at is of one instant, however long it takes.
set transaction isolation level repeatable read, read only;

-- name: seal_before
-- The last seal before an instant.
select seal, at, first_seq, last_seq, root, head, hash from audit_seal where at < %(at)s order by seal desc limit 1;

-- name: is_waiting
-- All that is not sealed yet.
select ledger, key, members from audit_due;

-- name: anchors
select anchor, at, first_seal, last_seal, statement, digest from audit_anchor where anchor >= %(first)s order by anchor;

-- name: last_anchor
select anchor, at, first_seal, last_seal, statement, digest from audit_anchor order by anchor desc limit 1;

-- name: add_anchor
insert into audit_anchor (anchor, at, first_seal, last_seal, statement, digest)
values (%(anchor)s, %(at)s, %(first_seal)s, %(last_seal)s, %(statement)s, %(digest)s);

-- name: unreceipted
-- Anchors for which this notary has not answered yet, the oldest first.
select a.anchor, a.at, a.first_seal, a.last_seal, a.statement, a.digest from audit_anchor a
where not exists (select from audit_receipt r where r.anchor = a.anchor and r.notary = %(notary)s)
  and a.at > %(since)s
order by a.anchor limit %(limit)s;

-- name: add_receipt
insert into audit_receipt (anchor, notary, received_at, receipt)
values (%(anchor)s, %(notary)s, %(received_at)s, %(receipt)s) on conflict do nothing;

-- name: receipts
select anchor, notary, received_at, receipt from audit_receipt where anchor >= %(first)s order by anchor, notary;

-- name: unanchored
-- Since when something sealed has had no answer from outside; null: nothing waits for one.
select min(s.at) from audit_seal s
where s.seal > coalesce((select max(a.last_seal) from audit_anchor a join audit_receipt using (anchor)), 0);

-- name: span
select min(first_seq), max(last_seq) from audit_seal where at >= %(since)s and at < %(until)s;

-- name: seals_of
-- A link lies in the first seal that ends at it or after it.
select seal, at, first_seq, last_seq, root, head, hash from audit_seal
where last_seq in (select (select s.last_seq from audit_seal s where s.last_seq >= w.seq order by s.last_seq limit 1)
                   from unnest(%(seqs)s::bigint[]) as w (seq))
order by seal;

-- name: newest
select key, max(seq) from audit_link
where ledger = %(ledger)s and key = any(%(keys)s::text[]) and members is null group by key;
