CREATE INDEX IF NOT EXISTS ix_posts_popular ON posts (status, like_count, No)
