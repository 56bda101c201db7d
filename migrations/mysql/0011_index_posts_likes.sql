-- Most liked first, then newest.
-- phase: finish
-- probe: index posts.ix_posts_likes
-- Lock: none while it is built (reads and writes go on).
ALTER TABLE posts ADD INDEX ix_posts_likes (status, like_count, No), ALGORITHM = INPLACE, LOCK = NONE
