-- How many visible posts there are. The empty scope counts all posts, any other is a category's id.
-- Level 0 has one bucket, the total; level 1 a bucket for every 65,536 numbers, level 2 for every
-- 1,024.
CREATE TABLE IF NOT EXISTS post_totals (
    scope   TEXT    NOT NULL,
    level   INTEGER NOT NULL,
    bucket  INTEGER NOT NULL,
    visible INTEGER NOT NULL,
    PRIMARY KEY (scope, level, bucket)
) WITHOUT ROWID
