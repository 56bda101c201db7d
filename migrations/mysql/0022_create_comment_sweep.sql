-- How far the comment counts of adopted posts have been asked for, once, from the newest number
-- down: posts below `before_no` are still to be asked; NULL is all of them, 0 none. The sweep begins
-- when the adoption is finished, which sets NULL once more: whatever an old service wrote until then
-- is asked too.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS comment_sweep (
    id     TINYINT NOT NULL,
    before_no BIGINT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
