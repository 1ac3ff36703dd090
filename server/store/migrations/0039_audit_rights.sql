-- Who writes down cannot strike out: the server's own account has no right to it, besides the triggers that refuse it to everybody. pre
-- Whoever owns the tables keeps what an owner has; run the server under an account that does not own them, where that matters.
revoke update, delete, truncate on audit_entry, audit_link, audit_seal, audit_anchor, audit_receipt, audit_shape from homevigil_service;
revoke insert, update, delete, truncate on audit_ledger from homevigil_service;
revoke delete, truncate on audit_key from homevigil_service;
