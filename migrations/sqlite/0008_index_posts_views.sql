CREATE INDEX IF NOT EXISTS ix_posts_views ON posts (status, view_count, No)
