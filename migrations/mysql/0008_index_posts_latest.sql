-- Newest first, and searches in the title: both walk this index alone.
-- phase: finish
-- probe: index posts.ix_posts_latest
-- Lock: none while it is built (reads and writes go on).
ALTER TABLE posts ADD INDEX ix_posts_latest (status, No, title), ALGORITHM = INPLACE, LOCK = NONE
