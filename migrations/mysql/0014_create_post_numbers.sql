-- The allocator of posts.No: one row, raised in an autocommit statement of its own,
-- so that a number is never given twice and nobody waits for another's transaction.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS post_numbers (
    id   TINYINT NOT NULL,
    last BIGINT  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
