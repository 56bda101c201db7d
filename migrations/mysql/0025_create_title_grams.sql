-- What searches find titles by: each two neighbouring characters (a gram) of the titles of visible
-- posts, by buckets of 1,024 post numbers (No div 1024). `gram` is the CRC-32 of the characters'
-- weights in the title's collation: what a comparison takes for equal is one gram. `postings` has three
-- bytes for each place where it stands: two for the number within the bucket, one for the place in the
-- title (mod 256), the highest first. Written in the transactions that write titles.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS title_grams (
    gram     INT UNSIGNED NOT NULL,
    bucket   INT          NOT NULL,
    postings MEDIUMBLOB   NOT NULL,
    PRIMARY KEY (gram, bucket)
) ENGINE = InnoDB
