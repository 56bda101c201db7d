-- Likes: at most one per post and user.
-- probe: table likes
-- Lock: none; an adopted table is left as it is.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS likes (
    id         VARCHAR(32) NOT NULL,
    post_id    VARCHAR(32) NOT NULL,
    user_id    VARCHAR(36) NOT NULL,
    created_at DATETIME    NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_likes_post_user (post_id, user_id),
    CONSTRAINT fk_likes_post FOREIGN KEY (post_id) REFERENCES posts (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci
