-- How many visible posts each author has, written in the transaction that changes them. Authors are
-- compared as in `posts`, unless that table was adopted.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS author_totals (
    user_id VARCHAR(255) NOT NULL,
    visible BIGINT       NOT NULL,
    PRIMARY KEY (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci
