-- A category's posts, newest first.
-- phase: finish
-- probe: index posts.ix_posts_category
-- Lock: none while it is built (reads and writes go on).
ALTER TABLE posts ADD INDEX ix_posts_category (category_id, status, No), ALGORITHM = INPLACE, LOCK = NONE
