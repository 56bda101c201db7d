-- Posts, as the Flask service had them. Times are naive KST in whole seconds. `content` holds
-- 64 KiB, one byte more than the TEXT of an adopted table.
-- probe: table posts
-- Lock: none; an adopted table is left as it is.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS posts (
    id            VARCHAR(32)  NOT NULL,
    No            INT          NOT NULL,
    username      VARCHAR(100) NOT NULL,
    user_id       VARCHAR(36)  NULL,
    category      VARCHAR(50)  NOT NULL,
    category_id   VARCHAR(32)  NULL,
    title         VARCHAR(200) NOT NULL,
    content       MEDIUMTEXT   NOT NULL,
    view_count    INT          NOT NULL DEFAULT 0,
    like_count    INT          NOT NULL DEFAULT 0,
    comment_count INT          NOT NULL DEFAULT 0,
    status        ENUM ('visible', 'hidden', 'deleted') NULL DEFAULT 'visible',
    media_files   JSON         NULL,
    media_count   INT          NOT NULL DEFAULT 0,
    created_at    DATETIME     NOT NULL,
    updated_at    DATETIME     NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_posts_no (No),
    CONSTRAINT fk_posts_category FOREIGN KEY (category_id) REFERENCES categories (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci
