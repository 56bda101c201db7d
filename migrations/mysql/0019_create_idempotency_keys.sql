-- Posts created under an Idempotency-Key, for 24 hours: a repeated request gets the same answer.
-- Hashes are SHA-256.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id      VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    key_hash     BINARY(32)  NOT NULL,
    request_hash BINARY(32)  NOT NULL,
    post_id      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at   DATETIME    NOT NULL,
    PRIMARY KEY (user_id, key_hash),
    KEY ix_idempotency_keys_created_at (created_at)
) ENGINE = InnoDB
