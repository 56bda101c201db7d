-- Who viewed which post on which day (of KST): each viewer counts once a day. `viewer` is a keyed
-- hash; days that are over are purged.
-- Lock: none on other tables.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS post_views (
    day     DATE        NOT NULL,
    post_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    viewer  BINARY(16)  NOT NULL,
    PRIMARY KEY (day, post_id, viewer)
) ENGINE = InnoDB
