-- How many visible posts there are, written in the transaction that changes them. The empty scope
-- counts all posts, any other is a category's id. Level 0 has one bucket, the total; level 1 a
-- bucket for every 65,536 numbers (No div 65536), level 2 for every 1,024: the way to the page of
-- any number is two short scans instead of an OFFSET.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS post_totals (
    scope   VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    level   TINYINT NOT NULL,
    bucket  INT     NOT NULL,
    visible BIGINT  NOT NULL,
    PRIMARY KEY (scope, level, bucket)
) ENGINE = InnoDB
