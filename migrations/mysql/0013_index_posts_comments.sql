-- Most commented first, then newest.
-- phase: finish
-- probe: index posts.ix_posts_comments
-- Lock: none while it is built (reads and writes go on).
ALTER TABLE posts ADD INDEX ix_posts_comments (status, comment_count, No), ALGORITHM = INPLACE, LOCK = NONE
