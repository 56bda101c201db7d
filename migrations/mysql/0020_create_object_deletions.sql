-- Objects whose post or medium is gone: written in the transaction that removed them, deleted from
-- the store afterwards, as often as it takes.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS object_deletions (
    id         BIGINT        NOT NULL AUTO_INCREMENT,
    object_key VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    attempts   INT           NOT NULL DEFAULT 0,
    due_at     DATETIME      NOT NULL,
    PRIMARY KEY (id),
    KEY ix_object_deletions_due_at (due_at)
) ENGINE = InnoDB
