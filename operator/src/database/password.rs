use aws_lc_rs::rand;
use secrecy::{ExposeSecret as _, SecretString};

/// Length of a group of characters; four of them, joined by `-`, are a password: 190 bits.
const GROUP: usize = 8;
const GROUPS: usize = 4;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A password of an account that the operator made: letters, digits and `-`, which need no quoting
/// in SQL nor in a URL and satisfy `MySQL`'s password policy up to `MEDIUM`. Its `Debug` form hides
/// it.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// A new one; `None` when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        loop {
            let mut groups = Vec::with_capacity(GROUPS);
            for _ in 0..GROUPS {
                groups.push(group()?);
            }
            let text = groups.join("-");
            let has = |class: fn(&char) -> bool| text.chars().any(|c| class(&c));
            let complete = has(char::is_ascii_lowercase)
                && has(char::is_ascii_uppercase)
                && has(char::is_ascii_digit);
            if complete {
                return Some(Self(text.into()));
            }
        }
    }

    /// One out of a Secret; `None` if it has characters that a generated one has not.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (text.len() >= 16 && text.len() <= 64 && text.bytes().all(plain))
            .then(|| Self(text.to_owned().into()))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Password {}

/// Random letters and digits; bytes that would favour some of them are thrown away.
fn group() -> Option<String> {
    let mut text = String::with_capacity(GROUP);
    while text.len() < GROUP {
        let mut bytes = [0_u8; 2 * GROUP];
        rand::fill(&mut bytes).ok()?;
        let fair = bytes.iter().filter(|byte| **byte < 248);
        for byte in fair.take(GROUP - text.len()) {
            text.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_need_no_quoting_and_hide_themselves() {
        let (one, other) = (Password::generate().unwrap(), Password::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 35);
        assert_eq!(Password::parse(one.expose()), Some(one.clone()));
        assert!(!format!("{one:?}").contains(one.expose()));
    }

    #[test]
    fn what_would_need_quoting_is_no_password_of_ours() {
        for text in ["short", "0123456789abcdef'", "0123456789abc\\def", ""] {
            assert_eq!(Password::parse(text), None, "{text}");
        }
    }
}
