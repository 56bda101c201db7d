//! The board in a database: made once with the service's own schema, kept in the cache folder, and
//! copied for each run.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{Connection as _, MySqlConnection};

use super::content::{self, Board};
use crate::backends::Backends;
use crate::command::Command;
use crate::mysql::{self, DATABASE};
use crate::paths::Paths;
use crate::programs::cache::{self, Key};
use crate::programs::mysql::Kind;
use crate::progress::{Progress, Step};

/// Raised whenever the way of loading gives other tables.
const RECIPE: &str = "3";
/// Posts that are loaded at once, while the next are made.
const CHUNK: u64 = 100_000;
/// Bytes of tables and indexes for each post, at most.
const BYTES_A_POST: u64 = 3_000;

const MIB: u64 = 1024 * 1024;

/// What is loaded, and with which programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dataset<'a> {
    pub(super) paths: &'a Paths,
    pub(super) progress: &'a Progress,
    pub(super) backends: &'a Backends<'a>,
    /// The service, whose `migrate` makes the tables.
    pub(super) service: &'a Path,
    pub(super) kind: Kind,
    pub(super) board: Board,
}

impl Dataset<'_> {
    /// Starts a server on a fresh copy of the board; returns its port.
    pub(super) async fn serve(self) -> Result<u16> {
        let kept = self.kept().await?;
        let data = self.backends.data().join(self.kind.name());
        let why = "copying the board for this run";
        let copy = async |_step| {
            Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(&kept)
                .arg(&data)
                .run()
                .await
        };
        self.progress.step("board", why, copy).await?;
        let port = self
            .backends
            .database_on(self.kind, data, vec![buffer_pool(self.board)?])
            .await?;
        let why = "reading every table and index once, so that memory holds them";
        let warm = async |_step| warm(&self.admin_url(port)).await;
        self.progress.step("buffer pool", why, warm).await?;
        Ok(port)
    }

    /// URL of the board for the administrator of the server on this port.
    pub(super) fn admin_url(self, port: u16) -> String {
        let server = mysql::admin_url("127.0.0.1", port, self.backends.secrets());
        format!("{server}/{DATABASE}?charset=utf8mb4")
    }

    /// The data folder with the board, made if the cache has none.
    async fn kept(self) -> Result<PathBuf> {
        let posts = self.board.posts().to_string();
        let schema = migrations(&self.paths.checkout.join("migrations/mysql"))?;
        let key = Key {
            name: &format!("board-{}", self.kind.name()),
            version: &posts,
            inputs: &[RECIPE, content::VERSION, &schema],
        };
        let folder = match cache::present(self.paths, key) {
            Some(folder) => folder,
            None => cache::obtain(self.paths, key, async |new, _| self.make(new).await).await?,
        };
        Ok(folder.join("data"))
    }

    async fn make(self, new: &Path) -> Result<()> {
        let mut arguments = vec![
            buffer_pool(self.board)?,
            // What a crash would lose is made again from the start.
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-doublewrite=OFF".to_owned(),
            "--innodb-sort-buffer-size=64M".to_owned(),
        ];
        arguments.push(match self.kind {
            Kind::MySql => "--innodb-redo-log-capacity=2G".to_owned(),
            Kind::MariaDb => "--innodb-log-file-size=1G".to_owned(),
        });
        let data = new.join("data");
        let port = self
            .backends
            .database_on(self.kind, data, arguments)
            .await?;
        let why = format!(
            "making {} posts (first time only; kept in the cache folder)",
            self.board.posts()
        );
        let fill = async |step| self.fill(port, new, step).await;
        self.progress.step("board", &why, fill).await?;
        let processes = self.backends.processes();
        processes
            .stop(self.kind.name(), Duration::from_mins(10))
            .await?;
        // Passwords are those of each run.
        std::fs::remove_file(new.join("data.accounts.sql"))?;
        Ok(())
    }

    async fn fill(self, port: u16, scratch: &Path, step: Step) -> Result<()> {
        let server = mysql::admin_url("127.0.0.1", port, self.backends.secrets());
        let mut connection = MySqlConnection::connect(&server).await?;
        run(&mut connection, &format!("CREATE DATABASE {DATABASE}")).await?;
        run(&mut connection, &format!("USE {DATABASE}")).await?;
        self.migrate(port, &[]).await?;
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
        self.load(&mut connection, scratch, &step).await?;
        step.say("building the indexes");
        alter(&mut connection, &indexes, Index::definition).await?;
        run(&mut connection, FOREIGN_KEY).await?;
        step.say("counting");
        for statement in totals(self.board) {
            run(&mut connection, &statement).await?;
        }
        run(&mut connection, "ANALYZE TABLE posts, likes, post_totals").await?;
        // Complete before there were posts.
        run(
            &mut connection,
            "UPDATE title_index SET completed_at = NULL",
        )
        .await?;
        step.say("letting the service check every counter and index the titles");
        let checked = self.migrate(port, &["--finish"]).await?;
        run(&mut connection, "ANALYZE TABLE title_grams").await?;
        if self.kind == Kind::MySql {
            step.say("making its log small again");
            shrink_log(&mut connection).await?;
        }
        connection.close().await?;
        let is_right = |line| checked.contains(line);
        ensure!(
            is_right("the counters of 0 repaired") && is_right("\n0 totals of lists repaired"),
            "the board that was made is not consistent:\n{checked}"
        );
        step.say("made");
        Ok(())
    }

    async fn migrate(self, port: u16, arguments: &[&str]) -> Result<String> {
        Command::new(self.service)
            .arg("migrate")
            .args(arguments)
            .env("DATABASE_URL", self.admin_url(port))
            .log(self.backends.processes().log("migrate"))
            .run()
            .await
    }

    async fn load(
        self,
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
        let mut ready = self.write(0, scratch).await?;
        loop {
            let next = ready.end;
            let (loaded, written) = tokio::join!(ready.load(connection), self.write(next, scratch));
            loaded?;
            step.say(format!("{next} of {} posts loaded", self.board.posts()));
            ready = written?;
            if ready.end == next {
                return ready.remove();
            }
        }
    }

    /// Writes the next posts and likes, in the order of ids, into files that the server reads.
    async fn write(self, begin: u64, scratch: &Path) -> Result<Chunk> {
        let end = (begin + CHUNK).min(self.board.posts());
        let file = |name| scratch.join(format!("{name}-{begin}.tsv"));
        let (posts, likes) = (file("posts"), file("likes"));
        let written = (posts.clone(), likes.clone());
        let board = self.board;
        tokio::task::spawn_blocking(move || write(board, begin..end, &written.0, &written.1))
            .await?
            .context("cannot write the board's rows")?;
        Ok(Chunk { end, posts, likes })
    }
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

/// The rows that the service counts by.
fn totals(board: Board) -> [String; 6] {
    let insert = "INSERT INTO post_totals (scope, level, bucket, visible)";
    let buckets = "2, No DIV 1024 AS bucket, COUNT(*) FROM posts WHERE status = 'visible'";
    let above = |level: u8, bucket: &str| {
        format!(
            "{insert} SELECT scope, {level}, {bucket} AS above, SUM(visible) FROM post_totals \
             WHERE level = {} GROUP BY scope, above",
            level + 1
        )
    };
    [
        "DELETE FROM post_totals".to_owned(),
        format!("{insert} SELECT '', {buckets} GROUP BY bucket"),
        format!("{insert} SELECT category_id, {buckets} GROUP BY category_id, bucket"),
        above(1, "bucket DIV 64"),
        above(0, "0"),
        format!("UPDATE post_numbers SET last = {}", board.posts()),
    ]
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

/// The texts of all migrations.
fn migrations(folder: &Path) -> Result<String> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let texts: std::io::Result<Vec<String>> = files.iter().map(std::fs::read_to_string).collect();
    Ok(texts?.concat())
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
