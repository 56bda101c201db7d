-- Most viewed first, then newest.
-- phase: finish
-- probe: index posts.ix_posts_views
-- Lock: none while it is built (reads and writes go on).
ALTER TABLE posts ADD INDEX ix_posts_views (status, view_count, No), ALGORITHM = INPLACE, LOCK = NONE
