CREATE INDEX IF NOT EXISTS ix_posts_comments ON posts (status, comment_count, No)
