-- How far the comment counts of adopted posts have been asked for, once, from the newest number
-- down: NULL before the first post, 0 when all are done.
CREATE TABLE IF NOT EXISTS comment_sweep (
    id     TINYINT NOT NULL,
    before_no BIGINT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
