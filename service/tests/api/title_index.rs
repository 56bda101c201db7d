//! Searches answered from the index of titles: they find what comparing every title would find.

use crate::kit::{Answer, Service, database::Database, tokens};
use post_service::store::{self, Titles};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Titles with all that comparing text can stumble over.
const TITLES: [&str; 16] = [
    "서울 카페 추천해주세요",
    "카페추천 서울",
    "제주도 카페  두 칸",
    "Crème BRÛLÉE and creme brulee",
    "CAFÉ café Cafe",
    "ㅋㅋㅋㅋㅋㅋㅋ",
    "ㅋㅋ",
    "🍎🍏 사과 🍎🍎",
    "100%_! done\\",
    "ß ss ẞ SS straße",
    "ＡＢＣ abc Abc",
    "가\u{200b}나다 a\u{301}b",
    "x",
    "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허",
    "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼해",
    "\u{1112}\u{1161}\u{11ab}글 한글",
];

async fn search(service: &Service, word: &str, query: &str) -> Answer {
    let size = if query.contains("per_page") {
        ""
    } else {
        "&per_page=50"
    };
    let url = service.request(Method::GET, &format!("/api/v1/posts?{size}{query}"));
    let answer = Answer::of(url.query(&[("q", word)])).await;
    assert_eq!(answer.status, StatusCode::OK, "{word}: {}", answer.text);
    answer
}

fn titles(answer: &Answer) -> Vec<String> {
    let posts = answer.json["data"].as_array().expect("posts");
    let title = |post: &Value| post["title"].as_str().expect("a title").to_owned();
    posts.iter().map(title).collect()
}

/// Every part of these titles, up to some length.
fn parts(titles: &[&str]) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for title in titles {
        let characters: Vec<char> = title.chars().collect();
        for length in (1..=4).chain([5, 7, 16, 17, 20]) {
            parts.extend(characters.windows(length).map(String::from_iter));
        }
    }
    // Those of blanks alone are no search.
    parts.retain(|part| part.trim() == part && !part.is_empty());
    parts
}

/// Compares the answers for these words with what the database finds by comparing every title.
async fn finds_what_titles_contain(service: &Service, words: &BTreeSet<String>) {
    for word in words {
        let pattern: String = word
            .chars()
            .flat_map(|character| match character {
                '%' | '_' | '!' => vec!['!', character],
                '\'' => vec!['\'', '\''],
                '\\' => vec!['\\', '\\'],
                _ => vec![character],
            })
            .collect();
        // In SQLite a backslash is one.
        let pattern = match service.database() {
            Database::Sqlite(_) => pattern.replace("\\\\", "\\"),
            Database::MySql { .. } => pattern,
        };
        let count = service
            .database()
            .number(&format!(
                "SELECT COUNT(*) FROM posts WHERE status = 'visible' \
                 AND title LIKE '%{pattern}%' ESCAPE '!'"
            ))
            .await;
        let answer = search(service, word, "").await;
        assert_eq!(answer.json["meta"]["total"], count, "{word:?}");
        let found = i64::try_from(titles(&answer).len()).expect("a count");
        assert_eq!(found, count.min(50), "{word:?}");
    }
}

async fn edit(service: &Service, id: &str, title: &str) {
    let request = service.request(Method::PATCH, &format!("/api/v1/posts/{id}"));
    let request = request.bearer_auth(tokens::alice());
    let edited = Answer::of(request.json(&json!({"title": title}))).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text);
}

async fn delete(service: &Service, id: &str) {
    let request = service.request(Method::DELETE, &format!("/api/v1/posts/{id}"));
    let deleted = Answer::of(request.bearer_auth(tokens::alice())).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text);
}

/// Forgets that every title is in the index, as if posts had been written beside it. Nobody must have
/// searched: that is believed for a second.
async fn reopen(service: &Service) {
    if let Database::MySql { .. } = service.database() {
        let open = "UPDATE title_index SET next_bucket = NULL, completed_at = NULL";
        service.execute(open).await;
    }
}

async fn finish(service: &Service, titles: Titles) -> store::Finished {
    store::finish(&service.database().url(), titles, |_| ())
        .await
        .expect("the rest of the work")
}

on_every_database! {
    async fn a_search_finds_what_titles_contain_also_after_edits_and_deletions(service) {
        let alice = tokens::alice();
        let mut ids = Vec::new();
        for title in TITLES {
            ids.push(service.publish(&alice, title, "c").await);
        }
        finds_what_titles_contain(service, &parts(&TITLES)).await;
        edit(service, &ids[0], "부산 카페 후기").await;
        edit(service, &ids[4], "cafÉ").await;
        edit(service, &ids[5], "ㅋ").await;
        delete(service, &ids[1]).await;
        delete(service, &ids[7]).await;
        let mut words = parts(&TITLES[..8]);
        words.extend(parts(&["부산 카페 후기"]));
        finds_what_titles_contain(service, &words).await;
    }
}

on_every_database! {
    async fn titles_that_were_not_indexed_are_found_before_and_after_finish(service) {
        let alice = tokens::alice();
        for title in TITLES {
            service.publish(&alice, title, "c").await;
        }
        reopen(service).await;
        if let Database::MySql { .. } = service.database() {
            service.execute("DELETE FROM title_grams").await;
        }
        let words = parts(&TITLES[..4]);
        finds_what_titles_contain(service, &words).await;
        let finished = finish(service, Titles::Missing).await;
        finds_what_titles_contain(service, &words).await;
        if let Database::MySql { .. } = service.database() {
            assert_eq!(finished.indexed, 1);
            // The answers come from the index now.
            service.execute("DELETE FROM title_grams").await;
            let answer = search(service, "카페", "").await;
            assert_eq!(answer.json["meta"]["total"], 0);
        }
        assert_eq!(finish(service, Titles::Missing).await.indexed, 0);
    }
}

on_every_database! {
    async fn indexing_again_finds_what_was_written_by_hand_and_nothing_twice(service) {
        let alice = tokens::alice();
        for title in TITLES {
            service.publish(&alice, title, "c").await;
        }
        let mut words = parts(&TITLES[..8]);
        words.insert("손으로 고친 카페".into());
        finds_what_titles_contain(service, &words).await;
        service.execute("UPDATE posts SET title = '손으로 고친 카페' WHERE title = 'x'").await;
        service.execute("UPDATE posts SET title = '가나' WHERE title LIKE '서울%'").await;
        let bytes = "SELECT SUM(LENGTH(postings)) FROM title_grams";
        let before = match service.database() {
            Database::MySql { .. } => service.database().number(bytes).await,
            Database::Sqlite(_) => 0,
        };
        let finished = finish(service, Titles::All).await;
        finds_what_titles_contain(service, &words).await;
        if let Database::MySql { .. } = service.database() {
            assert_eq!(finished.indexed, 1);
            let added = service.database().number(bytes).await - before;
            assert_eq!(added, 3 * (8 + 1 - 11), "three bytes for each pair of characters");
        }
    }
}

on_every_database! {
    async fn a_page_skips_what_the_index_alone_still_has(service) {
        let alice = tokens::alice();
        for number in 0..30 {
            service.publish(&alice, &format!("자주 {number}"), "c").await;
        }
        // As a process does that reads the index before, and the posts after a deletion.
        service.execute("UPDATE posts SET status = 'deleted' WHERE title IN ('자주 25', '자주 3')").await;
        let first = search(service, "자주", "&page=1&per_page=10").await;
        assert_eq!(titles(&first).len(), 10);
        assert_eq!(titles(&first)[4..6], ["자주 24".to_owned(), "자주 23".into()]);
        assert_eq!(first.json["meta"]["total"], 28);
        let walked = walk(service, "자주", "&per_page=10", 4).await;
        assert_eq!(walked.len(), 28);
    }
}

/// As the table of an adopted board may compare.
async fn compares_as(database: Option<Database>, collation: &str) {
    let Some(database) = database else { return };
    let service = Service::on(database).await;
    service
        .execute(&format!(
            "ALTER TABLE posts MODIFY title VARCHAR(200) COLLATE {collation} NOT NULL"
        ))
        .await;
    for title in TITLES {
        service.publish(&tokens::alice(), title, "c").await;
    }
    finds_what_titles_contain(&service, &parts(&TITLES[..12])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_compares_as_the_column_does_on_mysql() {
    for collation in [
        "utf8mb4_0900_ai_ci",
        "utf8mb4_0900_as_cs",
        "utf8mb4_general_ci",
    ] {
        compares_as(Database::mysql().await, collation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_compares_as_the_column_does_on_mariadb() {
    for collation in ["utf8mb4_unicode_ci", "utf8mb4_general_ci"] {
        compares_as(Database::mariadb().await, collation).await;
    }
}

/// A board whose titles hold `자주` each, `가끔` each seventh, in two categories.
async fn large_board(service: &Service, posts: usize) {
    service
        .execute(
            "INSERT INTO categories (id, name, created_at) VALUES \
             ('a', 'a', '2026-01-01T00:00:00'), ('b', 'b', '2026-01-01T00:00:00')",
        )
        .await;
    reopen(service).await;
    let all: Vec<usize> = (1..=posts).collect();
    for numbers in all.chunks(1_000) {
        let rows: Vec<String> = numbers
            .iter()
            .map(|number| {
                let category = ["a", "b"][number % 2];
                let status = ["visible", "hidden"][usize::from(number % 10 == 9)];
                let (title, views) = (title(*number), number % 3);
                format!(
                    "('{number:032x}', {number}, 'u', '{category}', '{category}', '{title}', 'c', \
                     '{status}', {views}, '2026-01-01T00:00:00', '2026-01-01T00:00:00')"
                )
            })
            .collect();
        service
            .execute(&format!(
                "INSERT INTO posts (id, No, username, category, category_id, title, content, \
                 status, view_count, created_at, updated_at) VALUES {}",
                rows.join(", ")
            ))
            .await;
    }
    finish(service, Titles::Missing).await;
}

fn title(number: usize) -> String {
    let word = ["드문", "가끔"][usize::from(number.is_multiple_of(7))];
    format!("자주 {word} {number}")
}

/// The titles along `next_cursor`, so many pages of fifty.
async fn walk(service: &Service, word: &str, query: &str, pages: usize) -> Vec<String> {
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    for _ in 0..pages {
        let answer = search(service, word, &format!("{query}{cursor}")).await;
        walked.extend(titles(&answer));
        match answer.json["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    walked
}

on_every_database! {
    async fn pages_orders_and_filters_of_a_search_hold_what_reading_every_title_says(service) {
        const POSTS: usize = 2_600;
        large_board(service, POSTS).await;
        for (word, every) in [("자주", 1), ("가끔", 7)] {
            let visible = |kept: &dyn Fn(usize) -> bool| -> Vec<usize> {
                let numbers = (1..=POSTS).rev();
                numbers.filter(|n| n % every == 0 && n % 10 != 9 && kept(*n)).collect()
            };
            let names = |numbers: &[usize]| -> Vec<String> {
                numbers.iter().map(|number| title(*number)).collect()
            };
            let all = visible(&|_| true);
            let mut oldest = all.clone();
            oldest.reverse();
            let mut viewed = all.clone();
            viewed.sort_by_key(|number| std::cmp::Reverse((number % 3, *number)));
            for (query, numbers) in [
                ("", &all),
                ("&sortOrder=asc", &oldest),
                ("&sortBy=view_count", &viewed),
            ] {
                for page in [1, 2, 6, 7, 8, 20, 21, 46, 47, 48, 1_000] {
                    let answer = search(service, word, &format!("{query}&page={page}")).await;
                    let begin = ((page - 1) * 50).min(numbers.len());
                    let end = (begin + 50).min(numbers.len());
                    assert_eq!(titles(&answer), names(&numbers[begin..end]), "{word}{query} {page}");
                    let meta = &answer.json["meta"];
                    assert_eq!(meta["total"], all.len().min(1_000), "{word}{query} {page}");
                    assert_eq!(meta["total_is_lower_bound"] == true, all.len() > 1_000, "{meta}");
                }
                let walked = walk(service, word, query, 8).await;
                assert_eq!(walked, names(&numbers[..walked.len()]), "{word}{query}");
                assert_eq!(walked.len(), numbers.len().min(400));
            }
            let of_b = visible(&|number| number % 2 == 1);
            let answer = search(service, word, "&category_id=b").await;
            assert_eq!(titles(&answer), names(&of_b[..50]), "{word}");
            assert_eq!(answer.json["meta"]["total"], of_b.len().min(1_000), "{word}");
        }
    }
}

on_every_database! {
    async fn titles_written_while_the_index_is_filled_are_found(service) {
        const POSTS: usize = 5_000;
        large_board(service, POSTS).await;
        let alice = tokens::alice();
        let mut ids = Vec::new();
        for number in 0..40 {
            ids.push(service.publish(&alice, &format!("이전 제목 {number}"), "a").await);
        }
        reopen(service).await;
        let writing = async {
            for (number, id) in ids.iter().enumerate() {
                service.publish(&alice, &format!("새로 쓴 {number}"), "b").await;
                match number % 2 {
                    0 => edit(service, id, &format!("고쳐 쓴 {number}")).await,
                    _ => delete(service, id).await,
                }
            }
        };
        tokio::join!(writing, finish(service, Titles::Missing));
        let words = ["이전 제목", "새로 쓴", "고쳐 쓴", "가끔", "쓴 1"];
        finds_what_titles_contain(service, &words.map(str::to_owned).into()).await;
        let again = search(service, "새로 쓴", "").await;
        assert_eq!(again.json["meta"]["total"], 40);
    }
}
