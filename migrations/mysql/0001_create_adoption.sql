-- Whether the board has finished taking over an older service's tables: one row. While
-- `finished_at` is NULL another service may still write to `posts` and `likes` without keeping our
-- counters, so nothing is read from them yet.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS adoption (
    id          TINYINT  NOT NULL,
    finished_at DATETIME NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
