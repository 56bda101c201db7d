//! What can be set about images.

use std::path::PathBuf;
use thiserror::Error;
use url::Url;

/// Settings about images that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where objects are kept.
    pub place: Place,
    /// What clients are told as the bucket's name.
    pub bucket_name: String,
    /// What keys begin with, without slashes at its ends.
    pub prefix: String,
    /// The largest file accepted, in bytes.
    pub max_file_size: u64,
    /// What addresses of images begin with, e.g. `https://api.example.com`; `None`: the address the
    /// request came to.
    pub public_base: Option<String>,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An S3 bucket.
    Bucket {
        /// Its name.
        name: String,
        /// Its region, if the AWS environment shall not tell.
        region: Option<String>,
    },
    /// A folder of this machine.
    Folder(PathBuf),
    /// None is set: uploads are refused.
    Nowhere,
}

impl Place {
    /// Whether others than this machine's user rely on it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Bucket { .. })
    }
}

/// A setting about images that cannot be worked with; the text names it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigFault {
    /// Two places.
    #[error("S3_BUCKET_NAME and MEDIA_FOLDER are both set: images are kept in one place")]
    TwoPlaces,
    /// A prefix that keys cannot begin with.
    #[error("S3_FOLDER_PREFIX must be like image_files or a/b, of letters, digits, `.`, `_`, `-`")]
    Prefix,
    /// Neither a host nor a base URL.
    #[error(
        "API_GATEWAY_DOMAIN must be a host like api.example.com or a base URL like http://localhost:8082"
    )]
    Domain,
}

/// The prefix of keys, without slashes around it.
pub fn prefix(text: &str) -> Result<String, ConfigFault> {
    let prefix = text.trim().trim_matches('/');
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    // Keys may have 1,024 bytes, most of which are the file's.
    if prefix.len() <= 256 && prefix.split('/').all(is_plain) {
        Ok(prefix.to_owned())
    } else {
        Err(ConfigFault::Prefix)
    }
}

/// What addresses begin with, from a host (then by HTTPS) or a base URL.
pub fn public_base(domain: &str) -> Result<String, ConfigFault> {
    let text = if domain.contains("://") {
        domain.to_owned()
    } else {
        format!("https://{domain}")
    };
    let url = Url::parse(&text).map_err(|_| ConfigFault::Domain)?;
    let usable = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if usable {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(ConfigFault::Domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_means_https_and_a_base_url_is_taken_as_it_is() {
        for (domain, base) in [
            ("api.example.com", "https://api.example.com"),
            ("api.example.com:8443", "https://api.example.com:8443"),
            ("http://localhost:8082/", "http://localhost:8082"),
            ("https://example.com/board/", "https://example.com/board"),
        ] {
            assert_eq!(public_base(domain).unwrap(), base);
        }
        for domain in ["", "a b", "ftp://x", "https://u:p@x", "https://x/?q", "x#y"] {
            assert_eq!(public_base(domain), Err(ConfigFault::Domain), "{domain}");
        }
    }

    #[test]
    fn a_prefix_is_of_plain_segments() {
        assert_eq!(prefix("/image_files/").unwrap(), "image_files");
        assert_eq!(prefix("a/b-1").unwrap(), "a/b-1");
        for text in ["", "/", "a//b", "..", "a/../b", "한글", "a b"] {
            assert_eq!(prefix(text), Err(ConfigFault::Prefix), "{text}");
        }
    }
}
