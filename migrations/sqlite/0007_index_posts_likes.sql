CREATE INDEX IF NOT EXISTS ix_posts_likes ON posts (status, like_count, No)
