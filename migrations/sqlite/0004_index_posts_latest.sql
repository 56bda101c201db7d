CREATE INDEX IF NOT EXISTS ix_posts_latest ON posts (status, No, title)
