-- Where every account stands, in the order of the bytes of the user ids, whatever order the database sorts texts in.
SELECT user_id, seq, head, posted, held FROM pedro_ledger.account ORDER BY user_id COLLATE "C"
