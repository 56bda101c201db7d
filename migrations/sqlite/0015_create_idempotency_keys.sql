-- Posts created under an Idempotency-Key, for 24 hours: a repeated request gets the same answer.
-- Hashes are SHA-256.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id      TEXT NOT NULL,
    key_hash     BLOB NOT NULL,
    request_hash BLOB NOT NULL,
    post_id      TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    PRIMARY KEY (user_id, key_hash)
) WITHOUT ROWID
