-- Likes: at most one per post and user.
CREATE TABLE IF NOT EXISTS likes (
    id         TEXT NOT NULL PRIMARY KEY,
    post_id    TEXT NOT NULL REFERENCES posts (id),
    user_id    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (post_id, user_id)
)
