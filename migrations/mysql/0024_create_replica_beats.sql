-- How far a read replica is: each process that reads from one counts up a number in a row of its
-- own, here, and looks for it there. Rows of processes that have ended are removed by later ones.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS replica_beats (
    process   VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    beat      BIGINT      NOT NULL,
    beaten_at DATETIME    NOT NULL,
    PRIMARY KEY (process)
) ENGINE = InnoDB
