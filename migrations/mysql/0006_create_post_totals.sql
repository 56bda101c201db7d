-- Visible posts per scope, written in the transaction that changes them: the empty scope counts
-- all posts, any other is a category id. Lists take their total from here instead of COUNT(*).
CREATE TABLE IF NOT EXISTS post_totals (
    scope   VARCHAR(32) NOT NULL,
    visible BIGINT      NOT NULL,
    PRIMARY KEY (scope)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci
