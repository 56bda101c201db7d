//! The board on a server.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{Connection as _, MySqlConnection};

use super::super::content::{self, Board};
use super::{Dataset, ensure_consistent, totals};
use crate::mysql::{self, DATABASE};
use crate::programs::mysql::Kind;
use crate::progress::Step;

/// Posts that are loaded at once, while the next are made.
const CHUNK: u64 = 100_000;
/// Bytes of tables and indexes for each post, at most.
const BYTES_A_POST: u64 = 3_000;

const MIB: u64 = 1024 * 1024;

/// Starts a server on the board in this folder; returns the URL of its administrator.
pub(super) async fn start(dataset: Dataset<'_>, kind: Kind, data: PathBuf) -> Result<String> {
    let port = dataset
        .backends
        .database_on(kind, data, vec![buffer_pool(dataset.board)?])
        .await?;
    let url = admin_url(dataset, port);
    let why = "reading every table and index once, so that memory holds them";
    let warm = async |_step| warm(&url).await;
    dataset.progress.step("buffer pool", why, warm).await?;
    Ok(url)
}

fn admin_url(dataset: Dataset<'_>, port: u16) -> String {
    let server = mysql::admin_url("127.0.0.1", port, dataset.backends.secrets());
    format!("{server}/{DATABASE}?charset=utf8mb4")
}

/// Makes the board in a new folder.
pub(super) async fn make(dataset: Dataset<'_>, kind: Kind, new: &Path) -> Result<()> {
    let mut arguments = vec![
        buffer_pool(dataset.board)?,
        // What a crash would lose is made again from the start.
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
        "--innodb-doublewrite=OFF".to_owned(),
        "--innodb-sort-buffer-size=64M".to_owned(),
    ];
    arguments.push(match kind {
        Kind::MySql => "--innodb-redo-log-capacity=2G".to_owned(),
        Kind::MariaDb => "--innodb-log-file-size=1G".to_owned(),
    });
    let data = new.join("data");
    let backends = dataset.backends;
    let port = backends.database_on(kind, data, arguments).await?;
    let fill = async |step| fill(dataset, kind, port, new, step).await;
    dataset
        .progress
        .step("board", &dataset.making(), fill)
        .await?;
    let processes = backends.processes();
    processes.stop(kind.name(), Duration::from_mins(10)).await?;
    // Passwords are those of each run.
    std::fs::remove_file(new.join("data.accounts.sql"))?;
    Ok(())
}

async fn fill(
    dataset: Dataset<'_>,
    kind: Kind,
    port: u16,
    scratch: &Path,
    step: Step,
) -> Result<()> {
    let server = mysql::admin_url("127.0.0.1", port, dataset.backends.secrets());
    let mut connection = MySqlConnection::connect(&server).await?;
    run(&mut connection, &format!("CREATE DATABASE {DATABASE}")).await?;
    run(&mut connection, &format!("USE {DATABASE}")).await?;
    dataset.migrate(&admin_url(dataset, port), &[]).await?;
    let relaxed = "SET foreign_key_checks = 0, unique_checks = 0";
    run(&mut connection, relaxed).await?;
    let indexes = indexes(&mut connection).await?;
    // It needs an index.
    run(
        &mut connection,
        "ALTER TABLE posts DROP FOREIGN KEY fk_posts_category",
    )
    .await?;
    alter(&mut connection, &indexes, |index| {
        format!("DROP INDEX {}", index.name)
    })
    .await?;
    load(dataset.board, &mut connection, scratch, &step).await?;
    step.say("building the indexes");
    alter(&mut connection, &indexes, Index::definition).await?;
    run(&mut connection, FOREIGN_KEY).await?;
    step.say("counting");
    for statement in totals(dataset.board, "DIV") {
        run(&mut connection, &statement).await?;
    }
    run(&mut connection, AUTHOR_TOTALS).await?;
    run(
        &mut connection,
        "ANALYZE TABLE posts, likes, post_totals, author_totals",
    )
    .await?;
    // Complete before there were posts.
    run(
        &mut connection,
        "UPDATE title_index SET completed_at = NULL",
    )
    .await?;
    step.say("letting the service check every counter and index the titles");
    let checked = dataset
        .migrate(&admin_url(dataset, port), &["--finish"])
        .await?;
    run(&mut connection, "ANALYZE TABLE title_grams").await?;
    if kind == Kind::MySql {
        step.say("making its log small again");
        shrink_log(&mut connection).await?;
    }
    connection.close().await?;
    ensure_consistent(&checked)?;
    step.say("made");
    Ok(())
}

async fn load(
    board: Board,
    connection: &mut MySqlConnection,
    scratch: &Path,
    step: &Step,
) -> Result<()> {
    let mut categories = String::from("INSERT INTO categories (id, name, created_at) VALUES ");
    for (number, (id, name)) in content::categories().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        let _ = write!(categories, "{comma}('{id}', '{name}', '2023-01-01')");
    }
    run(connection, &categories).await?;
    let mut ready = write_chunk(board, 0, scratch).await?;
    loop {
        let next = ready.end;
        let (loaded, written) =
            tokio::join!(ready.load(connection), write_chunk(board, next, scratch));
        loaded?;
        step.say(format!("{next} of {} posts loaded", board.posts()));
        ready = written?;
        if ready.end == next {
            return ready.remove();
        }
    }
}

/// Writes the next posts and likes, in the order of ids, into files that the server reads.
async fn write_chunk(board: Board, begin: u64, scratch: &Path) -> Result<Chunk> {
    let end = (begin + CHUNK).min(board.posts());
    let file = |name| scratch.join(format!("{name}-{begin}.tsv"));
    let (posts, likes) = (file("posts"), file("likes"));
    let written = (posts.clone(), likes.clone());
    tokio::task::spawn_blocking(move || write(board, begin..end, &written.0, &written.1))
        .await?
        .context("cannot write the board's rows")?;
    Ok(Chunk { end, posts, likes })
}

/// Rows in files.
struct Chunk {
    /// The place after the last one's.
    end: u64,
    posts: PathBuf,
    likes: PathBuf,
}

impl Chunk {
    async fn load(self, connection: &mut MySqlConnection) -> Result<()> {
        for (file, table) in [
            (
                &self.posts,
                "posts CHARACTER SET utf8mb4 (id, No, username, user_id, category, category_id, \
                 title, content, view_count, like_count, comment_count, status, media_files, \
                 media_count, created_at, updated_at)",
            ),
            (
                &self.likes,
                "likes CHARACTER SET utf8mb4 (id, post_id, user_id, created_at, verified)",
            ),
        ] {
            let load = format!("LOAD DATA INFILE '{}' INTO TABLE {table}", file.display());
            run(connection, &load).await?;
        }
        self.remove()
    }

    fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.posts)?;
        Ok(std::fs::remove_file(&self.likes)?)
    }
}

/// Writes rows as `LOAD DATA` reads them by default: fields end with a tab, `\N` is NULL.
fn write(
    board: Board,
    places: std::ops::Range<u64>,
    posts: &Path,
    likes: &Path,
) -> std::io::Result<()> {
    let create = |path| std::fs::File::create(path).map(std::io::BufWriter::new);
    let (mut posts, mut likes) = (create(posts)?, create(likes)?);
    let categories: Vec<_> = content::categories().collect();
    for place in places {
        let number = board.number_at(place);
        let post = board.post(number);
        let (user_id, username) = content::user(post.author);
        let (category_id, category) = &categories[post.category];
        let (media, count) = &post.media;
        let media = media.as_deref().map_or_else(|| "\\N".to_owned(), escaped);
        writeln!(
            posts,
            "{}\t{number}\t{username}\t{user_id}\t{category}\t{category_id}\t{}\t{}\t{}\t{}\t{}\t{}\t{media}\t{count}\t{created}\t{created}",
            post.id,
            escaped(&post.title),
            escaped(&post.content),
            post.views,
            post.likes,
            post.comments,
            post.status,
            created = post.created_at,
        )?;
        for like in board.likes(number) {
            let (id, user) = (like.id, like.user);
            writeln!(likes, "{id}\t{}\t{user}\t{}\t1", post.id, post.created_at)?;
        }
    }
    posts.flush()?;
    likes.flush()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
}

/// The rows by which the service counts authors' posts, where it does.
const AUTHOR_TOTALS: &str = "REPLACE INTO author_totals (user_id, visible) \
    SELECT user_id, COUNT(*) FROM posts WHERE status = 'visible' GROUP BY user_id";

/// As the migrations made it.
const FOREIGN_KEY: &str = "ALTER TABLE posts ADD CONSTRAINT fk_posts_category \
    FOREIGN KEY (category_id) REFERENCES categories (id)";

/// A secondary index of `posts`.
#[derive(Debug, sqlx::FromRow)]
struct Index {
    name: String,
    columns: String,
    is_unique: bool,
}

impl Index {
    fn definition(&self) -> String {
        let unique = if self.is_unique { "UNIQUE " } else { "" };
        format!("ADD {unique}INDEX {} ({})", self.name, self.columns)
    }
}

/// Those that the migrations made: built at once after the rows, they take a fraction of the time.
async fn indexes(connection: &mut MySqlConnection) -> Result<Vec<Index>> {
    let indexes = sqlx::query_as(
        "SELECT CAST(INDEX_NAME AS CHAR) AS name, \
         CAST(GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS CHAR) AS columns, \
         MIN(NON_UNIQUE) = 0 AS is_unique FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'posts' AND INDEX_NAME <> 'PRIMARY' \
         GROUP BY INDEX_NAME",
    );
    Ok(indexes.fetch_all(connection).await?)
}

async fn alter(
    connection: &mut MySqlConnection,
    indexes: &[Index],
    change: impl Fn(&Index) -> String,
) -> Result<()> {
    let changes: Vec<String> = indexes.iter().map(change).collect();
    run(
        connection,
        &format!("ALTER TABLE posts {}", changes.join(", ")),
    )
    .await
}

/// Shrinks the log, which would be copied for each run.
async fn shrink_log(connection: &mut MySqlConnection) -> Result<()> {
    const CAPACITY: u64 = 100 * MIB;
    let shrink = format!("SET GLOBAL innodb_redo_log_capacity = {CAPACITY}");
    run(connection, &shrink).await?;
    for _ in 0..600 {
        let (_, resized): (String, String) =
            sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Innodb_redo_log_capacity_resized'")
                .fetch_one(&mut *connection)
                .await?;
        if resized == CAPACITY.to_string() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn warm(url: &str) -> Result<()> {
    let mut connection = MySqlConnection::connect(url).await?;
    run(&mut connection, "SELECT SUM(LENGTH(content)) FROM posts").await?;
    run(&mut connection, "SELECT SUM(verified) FROM likes").await?;
    let by_post = "SELECT COUNT(DISTINCT post_id) FROM likes";
    run(&mut connection, by_post).await?;
    let postings = "SELECT SUM(LENGTH(postings)) FROM title_grams";
    run(&mut connection, postings).await?;
    for index in indexes(&mut connection).await? {
        let first = index.columns.split(',').next().unwrap_or_default();
        let name = &index.name;
        let scan = format!("SELECT COUNT({first}) FROM posts FORCE INDEX ({name})");
        run(&mut connection, &scan).await?;
    }
    Ok(connection.close().await?)
}

/// Runs a statement, also one that cannot be prepared.
async fn run(connection: &mut MySqlConnection, statement: &str) -> Result<()> {
    let begin: String = statement.chars().take(60).collect();
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .map(drop)
        .with_context(|| format!("the database refuses `{begin}…`"))
}

/// One that holds the board, but leaves the rest of the machine's memory alone.
fn buffer_pool(board: Board) -> Result<String> {
    let memory = std::fs::read_to_string("/proc/meminfo").context("no /proc/meminfo")?;
    let total = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok());
    let most = kib.context("no MemTotal")? / 1024 * 6 / 10;
    let mib = (board.posts() * BYTES_A_POST / MIB + 512).min(most);
    Ok(format!("--innodb-buffer-pool-size={mib}M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_of_as_many_fields_as_columns() {
        let folder = tempfile::tempdir().unwrap();
        let (posts, likes) = (folder.path().join("p"), folder.path().join("l"));
        write(Board::new(2_000), 0..2_000, &posts, &likes).unwrap();
        for (file, fields) in [(posts, 16), (likes, 5)] {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.lines().count() > 500);
            assert!(text.lines().all(|line| line.split('\t').count() == fields));
        }
    }

    #[test]
    fn what_ends_fields_and_lines_is_escaped() {
        assert_eq!(escaped("a\tb\nc\\d"), "a\\tb\\nc\\\\d");
    }
}
