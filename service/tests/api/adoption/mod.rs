//! Taking over the Flask service's database: beside it, and after it.

mod board;
mod flask;
mod old_service;
mod proxy;

use crate::kit::{Answer, Service, process, tokens};
use board::{Board, say};
use old_service::OldService;
use proxy::Proxy;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// A test on MySQL and on MariaDB, where they are.
macro_rules! on_both_servers {
    ($(#[$attribute:meta])* async fn $name:ident($server:ident) $body:block) => {
        mod $name {
            use super::*;

            async fn test($server: &str) $body

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql() {
                test("TEST_MYSQL_URL").await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb() {
                test("TEST_MARIADB_URL").await;
            }
        }
    };
}

/// As many as the old board had.
const POSTS: usize = 20_000;
/// Enough for every step to have several batches of work.
const FEW_POSTS: usize = 2_200;
/// Boards of a normal run that are killed once in each phase.
const POINTS: usize = 5;

const MIGRATE: &[&str] = &["migrate"];
const FINISH: &[&str] = &["migrate", "--finish"];

/// Runs the program on the board's database: exit code, standard output, standard error.
async fn run(board: &Board, arguments: &[&str]) -> (i32, String, String) {
    process::run(arguments, &[("DATABASE_URL", &board.url())]).await
}

async fn run_well(board: &Board, arguments: &[&str]) -> String {
    let (code, out, error) = run(board, arguments).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    out
}

on_both_servers! {
    async fn every_row_is_kept_and_every_counter_exact(server) {
        let Some(mut board) = Board::with_posts(server, POSTS).await else { return };
        let before = board.untouched().await;
        let started = Instant::now();
        let out = run_well(&board, MIGRATE).await;
        assert!(out.contains("run `post-service migrate --finish`"), "{out}");
        let migrated = started.elapsed();
        assert!(!board.faults().await.is_empty(), "there was nothing to repair");
        let finished = run_well(&board, FINISH).await;
        assert!(finished.ends_with("the adoption is finished\n"), "{finished}");
        let took = started.elapsed();

        assert_eq!(board.faults().await, []);
        assert!(before == board.untouched().await, "a row has changed");
        let dump = board.dump().await;
        let again = run_well(&board, FINISH).await;
        assert!(again.contains("the counters of 0 repaired\n0 totals"), "{again}");
        assert!(dump == board.dump().await, "a second run changed something");

        say(&format!(
            "adoption: {server}: {} posts, {} likes; migrate {migrated:?}, finish {:?}: {}",
            board.number("SELECT COUNT(*) FROM posts").await,
            board.number("SELECT COUNT(*) FROM likes").await,
            took.saturating_sub(migrated),
            finished.trim_end().replace('\n', ", ")
        ));
        totals_over_the_api_are_counts(board).await;
    }
}

/// The board's and every category's total, as clients see them.
async fn totals_over_the_api_are_counts(mut board: Board) {
    let service = Service::on(board.take_database()).await;
    totals_are_counts(&service, &mut board).await;
}

async fn totals_are_counts(service: &Service, board: &mut Board) {
    let total = async |query: &str| {
        let answer = service.get(&format!("/api/v1/posts?{query}")).await;
        answer.json["meta"]["total"].as_i64().expect("a total")
    };
    let visible = "SELECT COUNT(*) FROM posts WHERE status = 'visible'";
    assert_eq!(total("per_page=10").await, board.number(visible).await);
    for id in board.rows("SELECT CAST(id AS CHAR) FROM categories").await {
        let sql = format!("{visible} AND category_id = '{id}'");
        let counted = board.number(&sql).await;
        assert_eq!(total(&format!("category_id={id}")).await, counted);
    }
}

on_both_servers! {
    async fn the_old_service_writes_on_beside_migrate(server) {
        let Some(mut board) = Board::with_posts(server, POSTS).await else { return };
        let old = OldService::start(&board.url(), 8, POSTS);
        let started = Instant::now();
        run_well(&board, MIGRATE).await;
        let took = started.elapsed();
        let deeds = old.stop().await;
        say(&format!(
            "adoption: {server}: beside migrate ({took:?}) the old service ran {} statements and \
             inserted {} posts without a failure; the longest took {:?}: {}",
            deeds.statements, deeds.inserted, deeds.longest, deeds.longest_statement
        ));
        assert_eq!(deeds.failures, Vec::<String>::new());
        assert!(deeds.inserted > 0 && deeds.statements > 50, "{deeds:?}");
        assert!(deeds.longest < Duration::from_secs(1), "{deeds:?}");
        run_well(&board, FINISH).await;
        assert_eq!(board.faults().await, []);
        let posts = board.number("SELECT COUNT(*) FROM posts").await;
        assert_eq!(usize::try_from(posts).expect("a count"), POSTS + deeds.inserted);
    }
}

/// Runs the program until its n-th request to the database and kills it there; true if it was
/// killed, false if it had fewer requests to make and came to its good end.
async fn run_killed_at(board: &Board, arguments: &[&str], request: usize) -> bool {
    let proxy = Proxy::before(board.address(), request).await;
    let url = board.url_at(&format!("127.0.0.1:{}", proxy.port));
    let mut child = process::program(arguments, &[("DATABASE_URL", &url)])
        .spawn()
        .expect("a process");
    let was_killed = tokio::select! {
        () = proxy.stopped.notified() => true,
        status = child.wait() => {
            let status = status.expect("a status");
            let mut error = String::new();
            let mut stderr = child.stderr.take().expect("standard error");
            stderr.read_to_string(&mut error).await.expect("UTF-8");
            // It may have noticed that its connection is gone before it could be killed.
            let cut = tokio::time::timeout(Duration::from_secs(1), proxy.stopped.notified()).await;
            assert!(status.success() || cut.is_ok(), "{arguments:?} at {request}: {error}");
            return !status.success();
        }
    };
    if was_killed {
        child.kill().await.expect("killed");
    }
    was_killed
}

/// How many requests an undisturbed run makes.
async fn requests(board: &Board, arguments: &[&str]) -> usize {
    let proxy = Proxy::before(board.address(), usize::MAX).await;
    let url = board.url_at(&format!("127.0.0.1:{}", proxy.port));
    let (code, _, error) = process::run(arguments, &[("DATABASE_URL", &url)]).await;
    assert_eq!(code, 0, "{error}");
    proxy.seen.load(std::sync::atomic::Ordering::SeqCst)
}

/// The undisturbed run's end, and how many requests it took to migrate and to finish.
async fn undisturbed(server: &str) -> Option<(Vec<String>, usize, usize)> {
    let mut board = Board::with_posts(server, FEW_POSTS).await?;
    let migrate = requests(&board, MIGRATE).await;
    let finish = requests(&board, FINISH).await;
    assert_eq!(board.faults().await, []);
    Some((board.dump().await, migrate, finish))
}

/// Fails with the first difference between two dumps, not with all of both.
fn assert_same(dump: &[String], expected: &[String], of: &str) {
    let mut pairs = dump.iter().zip(expected);
    let differing = pairs.find(|(one, other)| one != other);
    assert!(differing.is_none(), "{of}: {differing:?}");
    assert_eq!(dump.len(), expected.len(), "{of}");
}

on_both_servers! {
    async fn a_run_killed_again_and_again_comes_to_the_same_end(server) {
        let Some((expected, migrate, finish)) = undisturbed(server).await else { return };
        let mut board = Board::with_posts(server, FEW_POSTS).await.expect("a board");
        // Each run gets a little further than the one before: through every step.
        let mut kills = 0;
        for (arguments, requests, step) in [(MIGRATE, migrate, 5), (FINISH, finish, 9)] {
            let mut request = 1;
            while run_killed_at(&board, arguments, request).await {
                request += step;
                kills += 1;
                assert!(request < 2 * requests + step, "it does not get further");
            }
        }
        assert_same(&board.dump().await, &expected, "after many kills");
        say(&format!(
            "adoption: {server}: {kills} kills in {} requests of one adoption: the same end",
            migrate + finish
        ));
    }
}

/// An adoption of a new board that is killed once in each phase, and repeated.
async fn killed_once(server: &str, expected: &[String], migrate: usize, finish: usize) {
    let mut board = Board::with_posts(server, FEW_POSTS).await.expect("a board");
    let killed = run_killed_at(&board, MIGRATE, migrate).await;
    assert!(killed, "migrate made less than {migrate} requests");
    run_well(&board, MIGRATE).await;
    let killed = run_killed_at(&board, FINISH, finish).await;
    assert!(killed, "finish made less than {finish} requests");
    run_well(&board, FINISH).await;
    let of = format!("killed at request {migrate} of migrate and {finish} of finish");
    assert_same(&board.dump().await, expected, &of);
}

/// `count` request numbers from the first to the last, evenly spread, odd and even.
fn spread(requests: usize, count: usize) -> impl Iterator<Item = usize> {
    (1..=count).map(move |point| (requests * point / count).max(1))
}

on_both_servers! {
    async fn a_run_killed_anywhere_is_repeated_to_the_same_end(server) {
        let Some((expected, migrate, finish)) = undisturbed(server).await else { return };
        // Not the very last requests: a run may make a few more or less than another.
        for (migrate, finish) in spread(migrate * 9 / 10, POINTS).zip(spread(finish * 9 / 10, POINTS)) {
            killed_once(server, &expected, migrate, finish).await;
        }
        say(&format!("adoption: {server}: {POINTS} adoptions killed once in each phase"));
    }
}

on_both_servers! {
    #[ignore = "exhaustive: a board for every request of a run, a quarter of an hour"]
    async fn a_run_killed_at_every_single_request_is_repeated_to_the_same_end(server) {
        let Some((expected, migrate, finish)) = undisturbed(server).await else { return };
        // Not the very last requests: a run may make a few more or less than another.
        let (migrate, finish) = (migrate * 9 / 10, finish * 9 / 10);
        let all = migrate.max(finish);
        for request in 1..=all {
            let (migrate, finish) = (request.min(migrate), request.min(finish));
            killed_once(server, &expected, migrate, finish).await;
        }
        say(&format!("adoption: {server}: {all} adoptions killed once in each phase"));
    }
}

on_both_servers! {
    async fn a_new_service_reads_and_writes_before_and_during_finish(server) {
        let Some(mut board) = Board::with_posts(server, POSTS).await else { return };
        run_well(&board, MIGRATE).await;
        let url = board.url();
        let service = Service::on(board.take_database()).await;
        totals_are_counts(&service, &mut board).await;
        let edited = edits_and_likes_work(&service, "\"v1\"", StatusCode::PRECONDITION_FAILED).await;
        // The old service writes too, until it ends; their numbers do not meet.
        let old = OldService::start(&url, 2, POSTS);
        let beside = publish_until(&service, async {
            for _ in 0..3 {
                totals_are_right_now(&service).await;
            }
        })
        .await;
        let deeds = old.stop().await;
        assert_eq!(deeds.failures, Vec::<String>::new());
        let during = publish_until(&service, async {
            let (code, out, error) = process::run(FINISH, &[("DATABASE_URL", &url)]).await;
            assert_eq!((code, error.as_str()), (0, ""), "{out}");
        })
        .await;
        let after = publish_until(&service, std::future::ready(())).await;
        let edited = edited + edits_and_likes_work(&service, "\"v1\"", StatusCode::OK).await;
        assert_eq!(board.faults().await, []);
        totals_are_counts(&service, &mut board).await;
        say(&format!(
            "adoption: {server}: posts published beside the old service ({} of its own), during \
             finish and after it: {beside}, {during}, {after}; no counter is off",
            deeds.inserted
        ));
        assert!(during > 0, "nothing was published during finish");
        let written = i64::try_from(deeds.inserted + beside + during + after + edited).expect("a count");
        let posts = board.number("SELECT COUNT(*) FROM posts").await;
        assert_eq!(posts, i64::try_from(POSTS).expect("a count") + written);
    }
}

/// Everything that is done with a post, and how many were published for it. While the adoption is not
/// finished there are no versions, so that one which is named has never been seen.
async fn edits_and_likes_work(service: &Service, seen: &str, status: StatusCode) -> usize {
    let alice = tokens::alice();
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(service.publish(&alice, "새 글", "이사").await);
    }
    let send = async |method: Method, path: String, seen: Option<&str>| {
        let mut request = service.request(method, &format!("/api/v1/posts/{path}"));
        if let Some(seen) = seen {
            request = request.header("If-Match", seen);
        }
        let body = json!({"title": "다른 제목", "category": "다른 곳"});
        Answer::of(request.bearer_auth(&alice).json(&body)).await
    };
    let [kept, gone] = &ids[..] else {
        unreachable!("two posts")
    };
    assert_eq!(
        send(Method::PATCH, kept.clone(), Some(seen)).await.status,
        status
    );
    assert_eq!(
        send(Method::PATCH, kept.clone(), None).await.status,
        StatusCode::OK
    );
    for count in [1, 0, 1] {
        let liked = send(Method::POST, format!("{kept}/like"), None).await;
        assert_eq!(liked.json["data"]["like_count"], count, "{}", liked.text);
    }
    assert_eq!(
        send(Method::DELETE, gone.clone(), None).await.status,
        StatusCode::OK
    );
    let post = service.get(&format!("/api/v1/posts/{kept}")).await.json["data"].clone();
    assert_eq!(
        (&post["title"], &post["category"]),
        (&json!("다른 제목"), &json!("다른 곳"))
    );
    ids.len()
}

/// Reads the board's list, whose total must be a total.
async fn totals_are_right_now(service: &Service) {
    let answer = service.get("/api/v1/posts").await;
    let total = answer.json["meta"]["total"].as_u64().expect("a total");
    assert!(total > POSTS as u64 / 2, "{total}");
}

/// Publishes posts from four clients, in known and new categories, until the work is done; tells
/// how many.
async fn publish_until(service: &Service, work: impl Future<Output = ()>) -> usize {
    let done = std::sync::atomic::AtomicBool::new(false);
    let clients = futures::future::join_all((0..4).map(async |client| {
        let mut published = 0;
        while published == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
            let category = ["자유", "맛집 🍜", "새로운 글"][(client + published) % 3];
            service.publish(&tokens::alice(), "새 글", category).await;
            published += 1;
        }
        published
    }));
    let work = async {
        work.await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    futures::join!(clients, work).0.into_iter().sum()
}

/// The statements that a refusal tells to run.
fn remedies(message: &str) -> Vec<String> {
    let marked = message.split("run `").skip(1);
    let statements = marked.flat_map(|text| text.split('`').next().unwrap_or_default().split("; "));
    statements.map(str::to_owned).collect()
}

on_both_servers! {
    async fn a_schema_that_cannot_be_adopted_is_refused_with_its_remedy(server) {
        const TABLES: &str = "SELECT CAST(CONCAT_WS('|', table_name, column_name, column_type) AS \
            CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1";
        let damages: [(&[&str], &str); 8] = [
            (&["ALTER TABLE posts DROP COLUMN media_count"], "posts.media_count is missing"),
            (&["ALTER TABLE posts MODIFY title TEXT"], "posts.title is text"),
            (&["ALTER TABLE posts MODIFY created_at VARCHAR(40)"], "posts.created_at is varchar"),
            (&["ALTER TABLE posts ROW_FORMAT = COMPACT"], "row format"),
            (&["ALTER TABLE posts DROP INDEX `No`"], "no unique key over (No)"),
            (
                &[
                    "DROP TABLE likes",
                    "CREATE TABLE likes (id VARCHAR(32) PRIMARY KEY, post_id VARCHAR(32) NOT NULL, \
                     user_id VARCHAR(36) NOT NULL, created_at DATETIME, UNIQUE (post_id, user_id)) \
                     ENGINE = MyISAM",
                ],
                "stored by MyISAM",
            ),
            (
                &[
                    "ALTER TABLE posts DROP FOREIGN KEY posts_ibfk_1",
                    "ALTER TABLE categories CONVERT TO CHARACTER SET utf8mb3",
                    "ALTER TABLE posts CONVERT TO CHARACTER SET utf8mb3",
                    "ALTER TABLE likes CONVERT TO CHARACTER SET utf8mb3",
                    "ALTER TABLE posts ADD FOREIGN KEY (category_id) REFERENCES categories (id)",
                ],
                "collation utf8",
            ),
            (
                &["ALTER TABLE posts MODIFY title VARCHAR(200) COLLATE utf8mb4_bin"],
                "posts.title has the collation utf8mb4_bin",
            ),
        ];
        let Some(mut board) = Board::with_posts(server, 0).await else { return };
        for (damage, fault) in damages {
            for statement in damage {
                board.execute(statement).await;
            }
            let before = board.rows(TABLES).await;
            let (code, out, error) = run(&board, MIGRATE).await;
            assert_eq!((code, out.as_str()), (1, ""), "{error}");
            assert!(error.contains(fault) && error.lines().count() == 1, "{fault}: {error}");
            assert_eq!(board.rows(TABLES).await, before, "{fault}");
            let remedies = remedies(&error);
            assert!(!remedies.is_empty(), "{error}");
            for remedy in remedies {
                board.execute(&remedy).await;
            }
        }
        let (code, _, error) = run(&board, FINISH).await;
        assert_eq!(code, 1);
        assert!(error.contains("is not migrated") && error.contains("`post-service migrate`"));
        // With all damage mended it is adopted.
        run_well(&board, MIGRATE).await;
        run_well(&board, FINISH).await;
        assert_eq!(board.faults().await, []);
    }
}

on_both_servers! {
    async fn views_and_other_peoples_tables_are_refused(server) {
        let Some(mut board) = Board::with_posts(server, 0).await else { return };
        board.execute("RENAME TABLE posts TO real_posts").await;
        board.execute("CREATE VIEW posts AS SELECT * FROM real_posts").await;
        let (code, _, error) = run(&board, MIGRATE).await;
        assert_eq!(code, 1);
        assert!(error.contains("`posts` is a view"), "{error}");
        board.execute("DROP VIEW posts").await;
        let (_, _, error) = run(&board, MIGRATE).await;
        assert!(error.contains("there is no table `posts`"), "{error}");
        board.execute("CREATE TABLE posts (id INT PRIMARY KEY, title TEXT)").await;
        let (code, _, error) = run(&board, MIGRATE).await;
        assert_eq!(code, 1);
        assert!(error.contains("a table `posts` that neither"), "{error}");
    }
}

on_both_servers! {
    async fn a_long_transaction_of_the_old_service_and_migrate_do_not_wait_for_each_other(server) {
        let Some(mut board) = Board::with_posts(server, 100).await else { return };
        // Whoever reads `posts` in a transaction keeps its definition from being changed.
        board.execute("BEGIN").await;
        board.number("SELECT COUNT(*) FROM posts").await;
        let old = OldService::start(&board.url(), 2, 100);
        run_well(&board, MIGRATE).await;
        board.execute("UPDATE posts SET title = title").await;
        board.execute("COMMIT").await;
        let deeds = old.stop().await;
        assert_eq!(deeds.failures, Vec::<String>::new());
        run_well(&board, FINISH).await;
        assert_eq!(board.faults().await, []);
    }
}
