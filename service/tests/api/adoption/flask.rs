//! What the Flask service sends to its database, as SQLAlchemy writes it: text, each request in a
//! transaction. Also what the stand-in of the old service sends in end-to-end tests.

/// What SQLAlchemy's `create_all` made.
pub const SCHEMA: [&str; 3] = [
    "CREATE TABLE categories (
        id VARCHAR(32) NOT NULL, name VARCHAR(50) NOT NULL, created_at DATETIME,
        PRIMARY KEY (id), UNIQUE (name))",
    "CREATE TABLE posts (
        id VARCHAR(32) NOT NULL, `No` INTEGER NOT NULL, username VARCHAR(100) NOT NULL,
        user_id VARCHAR(36), category VARCHAR(50) NOT NULL, category_id VARCHAR(32),
        title VARCHAR(200) NOT NULL, content TEXT NOT NULL,
        view_count INTEGER, like_count INTEGER, comment_count INTEGER,
        status ENUM('visible','hidden','deleted'), media_files JSON, media_count INTEGER,
        created_at DATETIME, updated_at DATETIME,
        PRIMARY KEY (id), UNIQUE (`No`), FOREIGN KEY(category_id) REFERENCES categories (id))",
    "CREATE TABLE likes (
        id VARCHAR(32) NOT NULL, post_id VARCHAR(32) NOT NULL, user_id VARCHAR(36) NOT NULL,
        created_at DATETIME, PRIMARY KEY (id),
        CONSTRAINT unique_post_like UNIQUE (post_id, user_id),
        FOREIGN KEY(post_id) REFERENCES posts (id))",
];

const COLUMNS: &str = "posts.id AS posts_id, posts.`No` AS `posts_No`, posts.username AS \
    posts_username, posts.user_id AS posts_user_id, posts.category AS posts_category, \
    posts.category_id AS posts_category_id, posts.title AS posts_title, posts.content AS \
    posts_content, posts.view_count AS posts_view_count, posts.like_count AS posts_like_count, \
    posts.comment_count AS posts_comment_count, posts.status AS posts_status, posts.media_files AS \
    posts_media_files, posts.media_count AS posts_media_count, posts.created_at AS \
    posts_created_at, posts.updated_at AS posts_updated_at";

pub const COUNT: &str = "SELECT count(*) AS count_1 FROM (SELECT posts.id AS posts_id FROM posts \
     WHERE posts.status = 'visible') AS anon_1";

pub const HIGHEST: &str = "SELECT max(posts.`No`) AS max_1 FROM posts";

pub fn latest() -> String {
    format!(
        "SELECT {COLUMNS} FROM posts WHERE posts.status = 'visible' \
         ORDER BY posts.created_at DESC LIMIT 0, 10"
    )
}

pub fn one(post: &str) -> String {
    format!("SELECT {COLUMNS} FROM posts WHERE posts.id = '{post}' LIMIT 1")
}

pub fn insert(id: &str, number: i32, user: &str, title: &str) -> String {
    format!(
        "INSERT INTO posts (id, `No`, username, user_id, category, category_id, title, content, \
         view_count, like_count, comment_count, status, media_files, media_count, created_at, \
         updated_at) VALUES ('{id}', {number}, '옛 사용자', '{user}', '자유', NULL, '{title}', \
         '내용', 0, 0, 0, 'visible', 'null', 0, '2025-06-01 10:00:00', '2025-06-01 10:00:00')"
    )
}

pub fn find_like(post: &str, user: &str) -> String {
    format!(
        "SELECT likes.id AS likes_id FROM likes WHERE likes.post_id = '{post}' \
         AND likes.user_id = '{user}' LIMIT 1"
    )
}

pub fn insert_like(id: &str, post: &str, user: &str) -> String {
    format!(
        "INSERT INTO likes (id, post_id, user_id, created_at) \
         VALUES ('{id}', '{post}', '{user}', '2025-06-01 10:00:00')"
    )
}

pub fn delete_like(id: &str) -> String {
    format!("DELETE FROM likes WHERE likes.id = '{id}'")
}

/// `change` is `+ 1` or `- 1`.
pub fn count_like(post: &str, change: &str) -> String {
    format!("UPDATE posts SET like_count=IFNULL(like_count, 0) {change} WHERE posts.id = '{post}'")
}
