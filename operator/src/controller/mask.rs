//! Keeps secret values out of what pods say of themselves. Pure.

use secrecy::ExposeSecret as _;
use url::Url;

use super::secrets::Credentials;

/// What stands in a value's place.
const MASK: &str = "***";
/// Shorter values would blot out words.
const SHORTEST: usize = 6;
/// Variables whose values are no secrets.
const PUBLIC: [&str; 4] = [
    "COGNITO_CLIENT_ID",
    "COGNITO_REGION",
    "COGNITO_USER_POOL_ID",
    crate::build::CA,
];

/// The values to be hidden.
#[derive(Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Every secret value that pods are given, and the passwords in URLs among them.
    pub fn of(credentials: &Credentials) -> Self {
        let secret = credentials
            .env
            .iter()
            .filter(|(variable, _)| !PUBLIC.contains(&variable.as_str()));
        let mut values = Vec::new();
        for (_, value) in secret {
            let value = value.expose_secret();
            values.extend(passwords(value));
            values.push(value.to_owned());
        }
        values.retain(|value| value.len() >= SHORTEST);
        // A value within another one is hidden with it.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// Hides them in `text`.
    pub fn hide(&self, text: &mut String) {
        for value in &self.0 {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), MASK);
            }
        }
    }
}

/// The password of a URL, as it is written there and as it is meant.
fn passwords(value: &str) -> Vec<String> {
    let url = Url::parse(value).ok();
    let Some(password) = url.as_ref().and_then(Url::password) else {
        return Vec::new();
    };
    let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy();
    vec![password.to_owned(), decoded.into_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_value_nor_the_password_in_it_is_repeated() {
        let url = "mysql://app:h%40nter2-x@db:3306/postdb";
        let mut mask = Mask(passwords(url));
        mask.0.push(url.to_owned());
        for text in [
            "cannot connect to mysql://app:h%40nter2-x@db:3306/postdb",
            "password h@nter2-x refused",
            "h%40nter2-x",
        ] {
            let mut hidden = text.to_owned();
            mask.hide(&mut hidden);
            assert!(!hidden.contains("nter2"), "{hidden}");
        }
    }
}
