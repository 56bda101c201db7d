-- Whether `title_grams` holds every title: one row. While `completed_at` is NULL searches read titles
-- one by one; `migrate --finish` fills the table from the bucket `next_bucket` on.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS title_index (
    id           TINYINT     NOT NULL,
    next_bucket  INT         NULL,
    completed_at DATETIME    NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
