-- Likes: at most one per post and user. `verified` is true for a like made with a token.
CREATE TABLE IF NOT EXISTS likes (
    id         TEXT    NOT NULL PRIMARY KEY,
    post_id    TEXT    NOT NULL REFERENCES posts (id),
    user_id    TEXT    NOT NULL,
    created_at TEXT    NOT NULL,
    verified   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (post_id, user_id)
)
