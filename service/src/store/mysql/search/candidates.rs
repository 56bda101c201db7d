//! Reading the index of titles.

use super::postings;
use crate::store::{list::SEARCH_COUNT_LIMIT, totals::LEVEL_2};
use sqlx::{MySqlConnection, Row, mysql::MySqlRow};
use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

/// Grams that are looked up for a word: longer ones are then compared with the titles found.
const GRAMS: usize = 8;
/// Rows that are read at first: enough for a word that one title of sixty has. For one that more titles
/// have they are too many, which costs less than to read twice.
const FIRST_ROWS: usize = 64;
/// Rows that are read at once, at most: each holds a few kilobytes of each gram.
const MOST_ROWS: usize = 256;
/// Rows that a search may read without a turn: what no title has although each of its grams is common
/// would read all there are.
const FREE_ROWS: usize = 2_048;
/// For so long it may, where rows are not in memory.
const FREE_TIME: Duration = Duration::from_millis(100);
/// With a turn it may read for so long.
const TURN_TIME: Duration = Duration::from_millis(1_400);

/// A text to be found, of two characters or more.
#[derive(Debug)]
pub(super) struct Word {
    /// Each once.
    grams: Vec<String>,
    /// At which distance from its beginning which of them stands.
    places: Vec<(u8, usize)>,
    /// They cover all of it: where they are, it is.
    is_covered: bool,
    /// In which it is compared.
    collation: Arc<str>,
}

impl Word {
    /// None if it is too short for the index.
    pub(super) fn of(text: &str, collation: Arc<str>) -> Option<Self> {
        let characters: Vec<char> = text.chars().collect();
        let last = characters.len().checked_sub(2)?;
        let (mut grams, mut places) = (Vec::<String>::new(), Vec::new());
        // Side by side; the last one may overlap.
        for distance in (0..last).step_by(2).chain([last]).take(GRAMS) {
            let gram: String = characters.get(distance..distance + 2)?.iter().collect();
            let known = grams.iter().position(|known| *known == gram);
            let which = known.unwrap_or_else(|| {
                grams.push(gram);
                grams.len() - 1
            });
            places.push((u8::try_from(distance).ok()?, which));
        }
        Some(Self {
            grams,
            places,
            is_covered: characters.len() <= 2 * GRAMS,
            collation,
        })
    }

    /// One row for each bucket that has all grams, newest first.
    fn statement(&self) -> String {
        let gram = format!(
            "CRC32(WEIGHT_STRING(CAST(? AS CHAR) COLLATE {}))",
            self.collation
        );
        let mut text = String::from("SELECT CAST(g0.bucket AS SIGNED)");
        for number in 0..self.grams.len() {
            let _ = write!(text, ", g{number}.postings");
        }
        text.push_str(" FROM title_grams g0");
        for number in 1..self.grams.len() {
            let _ = write!(
                text,
                " JOIN title_grams g{number} ON g{number}.bucket = g0.bucket \
                 AND g{number}.gram = {gram}"
            );
        }
        let _ = write!(
            text,
            " WHERE g0.gram = {gram} AND g0.bucket < ? ORDER BY g0.bucket DESC LIMIT ?"
        );
        text
    }

    async fn rows(
        &self,
        connection: &mut MySqlConnection,
        below: i64,
        limit: usize,
    ) -> Result<Vec<MySqlRow>, sqlx::Error> {
        let statement = self.statement();
        let mut query = sqlx::query(&statement);
        // The first gram's condition comes last.
        for gram in self.grams.iter().skip(1).chain(self.grams.first()) {
            query = query.bind(gram);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        query.bind(below).bind(limit).fetch_all(connection).await
    }

    /// A row's bucket, and the posts in it that have the word, newest first.
    fn found(&self, row: &MySqlRow) -> Result<(i64, Vec<i64>), sqlx::Error> {
        let bucket: i64 = row.try_get(0)?;
        let mut grams = Vec::with_capacity(self.places.len());
        for (distance, which) in &self.places {
            grams.push((*distance, row.try_get::<&[u8], _>(which + 1)?));
        }
        let numbers = postings::common(&grams);
        let number = |within: u32| bucket * LEVEL_2 + i64::from(within);
        Ok((bucket, numbers.into_iter().map(number).collect()))
    }
}

/// Numbers of posts that have a word, newest first.
#[derive(Debug)]
pub(super) struct Candidates {
    /// No more of them than are counted, and one.
    pub(super) numbers: Vec<i64>,
    /// Every one of them has it, as long as nobody changes it.
    pub(super) are_certain: bool,
}

impl Candidates {
    /// Whether there is none beside these.
    pub(super) fn are_all(&self) -> bool {
        self.numbers.len() <= most()
    }

    /// The newest posts that have this word; none if that takes too long, as it soon does without a turn.
    pub(super) async fn of(
        connection: &mut MySqlConnection,
        word: &Word,
        has_turn: bool,
    ) -> Result<Option<Self>, sqlx::Error> {
        let begun = Instant::now();
        let mut numbers = Vec::new();
        let (mut below, mut limit, mut read) = (i64::MAX, FIRST_ROWS, 0);
        loop {
            let rows = word.rows(connection, below, limit).await?;
            for row in &rows {
                let (bucket, found) = word.found(row)?;
                numbers.extend(found);
                below = bucket;
                if numbers.len() > most() {
                    break;
                }
            }
            read += rows.len();
            if numbers.len() > most() || rows.len() < limit {
                break;
            }
            let is_too_long = if has_turn {
                begun.elapsed() > TURN_TIME
            } else {
                read >= FREE_ROWS || begun.elapsed() > FREE_TIME
            };
            if is_too_long {
                return Ok(None);
            }
            limit = next_rows(read, numbers.len());
        }
        numbers.truncate(most() + 1);
        Ok(Some(Self {
            numbers,
            are_certain: word.is_covered,
        }))
    }
}

/// So many rows as will hold the posts that are still to be found, if it goes on like this.
fn next_rows(read: usize, found: usize) -> usize {
    let missing = (most() + 1).saturating_sub(found);
    let expected = (read * missing).div_ceil(found.max(1));
    expected.clamp(FIRST_ROWS, MOST_ROWS)
}

fn most() -> usize {
    usize::try_from(SEARCH_COUNT_LIMIT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Option<Word> {
        Word::of(text, "utf8mb4_bin".into())
    }

    fn grams(text: &str) -> Vec<(u8, String)> {
        let word = word(text).unwrap();
        let gram = |(distance, which): &(u8, usize)| (*distance, word.grams[*which].clone());
        word.places.iter().map(gram).collect()
    }

    #[test]
    fn grams_cover_a_word_side_by_side_and_to_its_end() {
        let gram = |distance, text: &str| (distance, text.to_owned());
        assert_eq!(grams("가나"), [gram(0, "가나")]);
        assert_eq!(grams("가나다"), [gram(0, "가나"), gram(1, "나다")]);
        assert_eq!(grams("ab d"), [gram(0, "ab"), gram(2, " d")]);
    }

    #[test]
    fn one_character_has_no_gram() {
        assert!(word("").is_none());
        assert!(word("가").is_none());
    }

    #[test]
    fn a_word_that_is_not_covered_says_so() {
        assert!(word(&"가".repeat(16)).unwrap().is_covered);
        let long = word(&"가".repeat(17)).unwrap();
        assert!(!long.is_covered);
        assert_eq!(long.places.len(), 8);
    }

    #[test]
    fn a_gram_that_stands_in_many_places_is_read_once() {
        let word = word("ㅋㅋㅋㅋㅋ").unwrap();
        assert_eq!(word.places, [(0, 0), (2, 0), (3, 0)]);
        assert_eq!(word.statement().matches("postings").count(), 1);
    }

    #[test]
    fn every_gram_has_its_postings_and_placeholder() {
        let statement = word("가나다라").unwrap().statement();
        assert_eq!(statement.matches('?').count(), 4, "{statement}");
        assert!(statement.contains("g0.postings, g1.postings FROM title_grams g0 JOIN"));
    }

    #[test]
    fn the_next_rows_are_as_many_as_are_likely_to_do() {
        assert_eq!(next_rows(8, 900), FIRST_ROWS);
        assert_eq!(next_rows(8, 80), 93);
        assert_eq!(next_rows(8, 0), MOST_ROWS);
    }
}
