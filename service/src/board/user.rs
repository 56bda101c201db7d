//! Who is calling.

/// A user, as a verified token names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    id: String,
    name: String,
    username: String,
}

impl User {
    /// The longest user id the schema holds; Cognito's are UUIDs of 36 characters.
    const MAX_ID: usize = 36;
    /// The longest name the schema holds; Cognito allows more, which is cut.
    const MAX_NAME: usize = 100;

    /// A user, if the id can be one.
    pub fn new(id: &str, name: &str) -> Option<Self> {
        let usable = !id.is_empty() && id.len() <= Self::MAX_ID && !id.contains('\0');
        usable.then(|| Self {
            id: id.to_owned(),
            name: name
                .chars()
                .filter(|c| *c != '\0')
                .take(Self::MAX_NAME)
                .collect(),
            username: name.to_owned(),
        })
    }

    /// The token's `sub`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token's user name in full, as the user pool knows it.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The name shown beside what the user writes, at most 100 characters.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_the_schema_cannot_hold_is_nobody() {
        assert!(User::new(&"a".repeat(36), "alice").is_some());
        for id in ["", "a\0b", &"a".repeat(37)] {
            assert_eq!(User::new(id, "alice"), None);
        }
    }

    #[test]
    fn a_long_name_is_cut_by_characters() {
        let user = User::new("1", &"가".repeat(128)).unwrap();
        assert_eq!(user.name().chars().count(), 100);
        assert_eq!(user.username().chars().count(), 128);
    }
}
