-- Who viewed which post on which day (of KST): each viewer counts once a day. `viewer` is a keyed
-- hash; days that are over are purged.
CREATE TABLE IF NOT EXISTS post_views (
    day     TEXT NOT NULL,
    post_id TEXT NOT NULL,
    viewer  BLOB NOT NULL,
    PRIMARY KEY (day, post_id, viewer)
) WITHOUT ROWID
