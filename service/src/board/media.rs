//! The images of a post, as the column `media_files` lists them.
//!
//! The Flask service wrote the same shape, but lists of its time lost entries and fields: whatever
//! is in them is kept and shown; only what an operation needs must be there.

use super::{KstTime, PostId};
use serde::Serialize;
use serde_json::Value;

/// One image of a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MediaEntry {
    /// A dashed UUID, which the key holds too.
    pub id: String,
    /// As the author named the file.
    pub file_name: String,
    /// Where the object lies: `{prefix}/images/{post}/{id}-{safe name}`.
    pub s3_key: String,
    /// Where browsers get it.
    pub s3_url: String,
    /// Always `image`.
    pub file_type: &'static str,
    /// Bytes of the object, after its metadata was taken out.
    pub file_size: u64,
    /// By content, not by name.
    pub content_type: &'static str,
    /// When.
    pub uploaded_at: KstTime,
}

/// The list of a post's images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MediaList(Vec<Value>);

impl MediaList {
    /// The most images a post may have.
    pub const MAX: usize = 100;

    /// Reads the column. Lists that were encoded twice are understood; what is no list at all holds
    /// nothing.
    pub fn read(column: Option<&str>) -> Self {
        let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let mut json = column.map_or(Value::Null, parse);
        if let Value::String(inner) = &json {
            json = parse(inner);
        }
        match json {
            Value::Array(entries) => Self(entries),
            Value::Object(_) => Self(vec![json]),
            _ => Self::default(),
        }
    }

    /// The entries, as they are.
    pub fn into_entries(self) -> Vec<Value> {
        self.0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there is room for another.
    pub fn is_full(&self) -> bool {
        self.0.len() >= Self::MAX
    }

    /// Whether an entry has this id.
    pub fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|entry| is_called(entry, id))
    }

    /// Whether an entry's object has this key.
    pub fn needs(&self, key: &str) -> bool {
        self.keys().any(|used| used == key)
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, entry: &MediaEntry) {
        // A struct of strings and numbers always has a JSON value.
        self.0
            .push(serde_json::to_value(entry).unwrap_or(Value::Null));
    }

    /// Takes out the entry of this id; the list of what was taken.
    #[must_use]
    pub fn take(&mut self, id: &str) -> Self {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|entry| is_called(entry, id));
        self.0 = left;
        Self(taken)
    }

    /// The keys of the objects behind the entries.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(key)
    }

    /// The column's text.
    pub fn to_json(&self) -> String {
        Value::Array(self.0.clone()).to_string()
    }
}

/// The object's key, if the entry has one that can be an object's (S3 allows 1,024 bytes).
fn key(entry: &Value) -> Option<&str> {
    entry["s3_key"]
        .as_str()
        .filter(|key| (1..=1024).contains(&key.len()))
}

/// Whether this is the entry of that id; one that lost its id is known by its key.
fn is_called(entry: &Value, id: &str) -> bool {
    if let Some(own) = entry["id"].as_str() {
        return own == id;
    }
    let file = key(entry).and_then(|key| key.rsplit('/').next());
    file.and_then(|file| file.strip_prefix(id))
        .is_some_and(|rest| rest.starts_with('-'))
}

/// The key of an object: under the prefix, by post.
pub fn object_key(prefix: &str, post: &str, file: &str) -> String {
    format!("{prefix}/images/{post}/{file}")
}

/// The post that a key's object belongs to, if it is one of [`object_key`]'s.
pub fn post_of_key(key: &str) -> Option<PostId> {
    key.rsplit('/').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(id: &str) -> MediaEntry {
        MediaEntry {
            id: id.into(),
            file_name: "고양이.png".into(),
            s3_key: format!("p/images/x/{id}-a.png"),
            s3_url: String::new(),
            file_type: "image",
            file_size: 1,
            content_type: "image/png",
            uploaded_at: "2026-01-02T09:00:00".parse().unwrap(),
        }
    }

    #[test]
    fn odd_columns_are_read_without_failing() {
        let count = |column: Option<&str>| MediaList::read(column).count();
        assert_eq!(count(None), 0);
        for odd in ["null", "", "7", "\"\"", "{", "true"] {
            assert_eq!(count(Some(odd)), 0, "{odd}");
        }
        assert_eq!(count(Some("[{}, null, 3]")), 3);
        assert_eq!(count(Some(r#"{"id": "a"}"#)), 1);
        assert_eq!(count(Some(r#""[{\"id\": \"a\"}]""#)), 1);
    }

    #[test]
    fn an_entry_is_added_found_and_taken_beside_odd_ones() {
        let mut list = MediaList::read(Some(r#"[{"file_name": "x"}, null]"#));
        list.push(&entry("a"));
        assert!(list.contains("a") && list.needs("p/images/x/a-a.png"));
        assert!(!list.contains("") && !list.contains("x"));
        let taken = list.take("a");
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["p/images/x/a-a.png"]);
        assert_eq!(
            list.into_entries(),
            [json!({"file_name": "x"}), json!(null)]
        );
    }

    #[test]
    fn an_entry_without_id_is_known_by_its_key() {
        let mut list = MediaList::read(Some(r#"[{"s3_key": "p/images/x/a-b-c.png"}]"#));
        assert!(list.contains("a") && list.contains("a-b") && !list.contains("a-b-c.png"));
        assert_eq!(list.take("a-b").count(), 1);
    }

    #[test]
    fn a_key_tells_its_post() {
        let post = "0123456789abcdef0123456789abcdef";
        let key = object_key("image_files", post, "f.png");
        assert_eq!(key, format!("image_files/images/{post}/f.png"));
        assert_eq!(post_of_key(&key).unwrap().as_str(), post);
        assert_eq!(post_of_key("f.png"), None);
        assert_eq!(post_of_key("a/b/c"), None);
    }
}
