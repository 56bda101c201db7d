//! What was set, checked as a whole.
//!
//! [`Settings`] is what was typed; [`Settings::validate`] turns it into what `serve` works with, or
//! into one sentence naming the setting that is wrong.

mod settings;

pub use settings::{Deactivation, LogFormat, Settings, TlsMode};

use crate::{
    board::PageLimits,
    comments,
    http::{Gate, rate::Limits},
    media::{self, Place},
    store::{DatabaseUrl, DatabaseUrlError},
};
use http::HeaderValue;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::MySqlSslMode;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use thiserror::Error;
use url::Url;

/// A combination of settings that cannot be served. The text is one line and names the setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The URL names no usable database.
    #[error("DATABASE_URL {0}")]
    DatabaseUrl(#[from] DatabaseUrlError),
    /// The replica's URL names no usable database.
    #[error("DATABASE_READ_URL {0}")]
    ReadUrl(#[source] DatabaseUrlError),
    /// A replica of or in a SQLite file.
    #[error("DATABASE_READ_URL is for a MySQL replica of the MySQL database in DATABASE_URL")]
    NoReplica,
    /// There is no home folder for the default database.
    #[error(
        "DATABASE_URL is not set and neither is HOME: name a database, e.g. sqlite:///tmp/p.db"
    )]
    NoDataFolder,
    /// MySQL without a secret key.
    #[error("SECRET_KEY is required with a MySQL database")]
    NoSecretKey,
    /// Some Cognito settings, but not all.
    #[error("{0} is not set, but other Cognito settings are: tokens need all three")]
    IncompleteCognito(&'static str),
    /// The development issuer would be used where others rely on it.
    #[error(
        "COGNITO_USER_POOL_ID, COGNITO_REGION and COGNITO_CLIENT_ID are required {0} \
         (the development issuer is for SQLite on a loopback address)"
    )]
    CognitoRequired(&'static str),
    /// Contradicting page sizes.
    #[error("DEFAULT_PAGE_SIZE ({default}) must not exceed MAX_PAGE_SIZE ({max})")]
    PageSizes {
        /// The default.
        default: u32,
        /// The limit.
        max: u32,
    },
    /// The name of the pool or region cannot be part of a URL.
    #[error(
        "COGNITO_REGION and COGNITO_USER_POOL_ID must be plain names \
         like ap-northeast-2 and ap-northeast-2_Abc123"
    )]
    CognitoNames,
    /// A URL that is of no use for HTTP.
    #[error("{0} must be an http or https URL like http://host:8083")]
    NotHttp(&'static str),
    /// Something about images.
    #[error(transparent)]
    Media(#[from] media::config::ConfigFault),
}

/// Settings that fit together.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseUrl,
    /// A replica of it.
    pub read_database: Option<DatabaseUrl>,
    /// Connections to each of them, at most.
    pub pool_size: u32,
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// Whose tokens are accepted.
    pub tokens: Tokens,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<HeaderValue>,
    /// Sizes of pages.
    pub pages: PageLimits,
    /// Keys the hashes of viewers.
    pub secret_key: SecretString,
    /// Whether requests without a token may like.
    pub anonymous_likes: bool,
    /// Networks whose word on the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Reads that one user or client may make a minute; 0: any number.
    pub reads_per_minute: u32,
    /// Writes that one user or client may make a minute; 0: any number.
    pub writes_per_minute: u32,
    /// Seconds that browsers shall use nothing but HTTPS; 0: not said.
    pub hsts_max_age: u32,
    /// Where traces are sent.
    pub traces: Option<Url>,
    /// The comment service.
    pub comment_service: Option<Url>,
    /// What deactivating an account does in Cognito.
    pub deactivation: Deactivation,
    /// Images.
    pub media: media::Config,
}

impl Config {
    /// What is settled before any handler is reached.
    pub fn gate(&self) -> Gate {
        Gate {
            cors_origins: self.cors_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            limits: Limits::per_minute(self.reads_per_minute, self.writes_per_minute),
            hsts_max_age: self.hsts_max_age,
            secret_key: self.secret_key.clone(),
        }
    }
}

/// Whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokens {
    /// Those of a Cognito user pool.
    Cognito {
        /// The `iss` of the pool's tokens.
        issuer: String,
        /// The client they must be for.
        client_id: String,
        /// Where the keys are.
        jwks_url: Url,
        /// The pool's region.
        region: String,
        /// The pool.
        pool_id: String,
    },
    /// Those this process signs itself, with the key in this file.
    Development {
        /// Made if absent.
        key_file: PathBuf,
    },
}

impl Settings {
    /// The database alone, for `migrate`.
    pub fn database(&self) -> Result<DatabaseUrl, ConfigError> {
        if let Some(url) = &self.database_url {
            let url: DatabaseUrl = url.expose_secret().parse()?;
            return Ok(self.encrypted(url));
        }
        let file = data_folder(|name| std::env::var_os(name))?.join("post-service.db");
        Ok(DatabaseUrl::sqlite_file(&file))
    }

    /// The replica of this database, if there is one.
    fn read_database(&self, database: &DatabaseUrl) -> Result<Option<DatabaseUrl>, ConfigError> {
        let Some(url) = &self.database_read_url else {
            return Ok(None);
        };
        let url: DatabaseUrl = url.expose_secret().parse().map_err(ConfigError::ReadUrl)?;
        if url.is_sqlite() || database.is_sqlite() {
            return Err(ConfigError::NoReplica);
        }
        Ok(Some(self.encrypted(url)))
    }

    /// The settings of encryption win over what the URL says.
    fn encrypted(&self, url: DatabaseUrl) -> DatabaseUrl {
        let DatabaseUrl::MySql(mut options) = url else {
            return url;
        };
        if let Some(mode) = self.database_tls_mode {
            *options = options.ssl_mode(match mode {
                TlsMode::Preferred => MySqlSslMode::Preferred,
                TlsMode::Required => MySqlSslMode::Required,
                TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
                TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
            });
        }
        if let Some(file) = &self.database_tls_ca {
            *options = options.ssl_ca(file);
        }
        DatabaseUrl::MySql(options)
    }

    /// Everything `serve` needs, or the first thing that is wrong.
    pub fn validate(&self) -> Result<Config, ConfigError> {
        let database = self.database()?;
        if !database.is_sqlite() && self.secret_key.is_none() {
            return Err(ConfigError::NoSecretKey);
        }
        let (default_size, max_size) = (self.default_page_size, self.max_page_size);
        if default_size > max_size {
            return Err(ConfigError::PageSizes {
                default: default_size,
                max: max_size,
            });
        }
        Ok(Config {
            tokens: self.tokens(&database)?,
            media: self.media(&database)?,
            read_database: self.read_database(&database)?,
            database,
            pool_size: self.database_pool_size,
            listen: self.listen_address,
            metrics: self.metrics_address,
            cors_origins: self.cors_allowed_origins.clone(),
            pages: PageLimits {
                default_size,
                max_size,
            },
            secret_key: self
                .secret_key
                .clone()
                .unwrap_or_else(|| "development".into()),
            anonymous_likes: self.anonymous_likes,
            trusted_proxies: self.trusted_proxies.clone(),
            reads_per_minute: self.rate_limit_reads_per_minute,
            writes_per_minute: self.rate_limit_writes_per_minute,
            hsts_max_age: self.hsts_max_age,
            traces: http_url(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                self.otel_exporter_otlp_endpoint.as_ref(),
            )?,
            comment_service: http_url("COMMENT_SERVICE_URL", self.comment_service_url.as_ref())?,
            deactivation: self.deactivation,
        })
    }

    fn media(&self, database: &DatabaseUrl) -> Result<media::Config, ConfigError> {
        // An empty variable is one that is not set, as in the old service's manifests.
        let given = |setting: &Option<String>| setting.clone().filter(|text| !text.is_empty());
        let bucket = given(&self.s3_bucket_name);
        let bucket_name = bucket.clone().unwrap_or_else(|| "local".to_owned());
        let place = match (bucket, &self.media_folder, database) {
            (Some(_), Some(_), _) => return Err(media::config::ConfigFault::TwoPlaces.into()),
            (Some(name), None, _) => Place::Bucket {
                name,
                region: given(&self.s3_region),
            },
            (None, Some(folder), _) => Place::Folder(folder.clone()),
            (None, None, DatabaseUrl::Sqlite(options)) => {
                let folder = options.get_filename().parent().unwrap_or(Path::new(""));
                Place::Folder(folder.join("media"))
            }
            (None, None, DatabaseUrl::MySql(_)) => Place::Nowhere,
        };
        let domain = given(&self.api_gateway_domain);
        Ok(media::Config {
            place,
            bucket_name,
            prefix: media::config::prefix(&self.s3_folder_prefix)?,
            max_file_size: self.max_file_size,
            public_base: domain
                .as_deref()
                .map(media::config::public_base)
                .transpose()?,
        })
    }

    fn tokens(&self, database: &DatabaseUrl) -> Result<Tokens, ConfigError> {
        let settings = [
            ("COGNITO_USER_POOL_ID", &self.cognito_user_pool_id),
            ("COGNITO_REGION", &self.cognito_region),
            ("COGNITO_CLIENT_ID", &self.cognito_client_id),
        ];
        if let [(_, Some(pool)), (_, Some(region)), (_, Some(client_id))] = settings {
            return self.cognito(pool, region, client_id);
        }
        if settings.iter().any(|(_, value)| value.is_some()) {
            let missing = settings.iter().find(|(_, value)| value.is_none());
            return Err(ConfigError::IncompleteCognito(
                missing.map_or("", |(name, _)| name),
            ));
        }
        match database {
            DatabaseUrl::MySql(_) => Err(ConfigError::CognitoRequired("with a MySQL database")),
            DatabaseUrl::Sqlite(_) if !self.listen_address.ip().is_loopback() => Err(
                ConfigError::CognitoRequired("on an address that others can reach"),
            ),
            DatabaseUrl::Sqlite(options) => {
                let folder = options.get_filename().parent().unwrap_or(Path::new(""));
                Ok(Tokens::Development {
                    key_file: folder.join("development-key.pem"),
                })
            }
        }
    }

    fn cognito(&self, pool: &str, region: &str, client_id: &str) -> Result<Tokens, ConfigError> {
        let plain = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !plain(pool) || !plain(region) {
            return Err(ConfigError::CognitoNames);
        }
        let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{pool}");
        let jwks_url = match http_url("COGNITO_JWKS_URL", self.cognito_jwks_url.as_ref())? {
            Some(url) => url,
            None => Url::parse(&format!("{issuer}/.well-known/jwks.json"))
                .map_err(|_| ConfigError::CognitoNames)?,
        };
        Ok(Tokens::Cognito {
            issuer,
            client_id: client_id.to_owned(),
            jwks_url,
            region: region.to_owned(),
            pool_id: pool.to_owned(),
        })
    }
}

/// A setting's URL, which must be one that can be asked.
fn http_url(setting: &'static str, url: Option<&Url>) -> Result<Option<Url>, ConfigError> {
    match url {
        Some(url) if !comments::is_usable(url) => Err(ConfigError::NotHttp(setting)),
        url => Ok(url.cloned()),
    }
}

/// Where this user's data lies: `$XDG_DATA_HOME/post-service`, else
/// `$HOME/.local/share/post-service` (<https://specifications.freedesktop.org/basedir-spec/>).
fn data_folder(
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<PathBuf, ConfigError> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("post-service"))
        .ok_or(ConfigError::NoDataFolder)
}

#[cfg(test)]
mod tests {
    use super::{settings::origin, *};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    const MYSQL: &str = "--database-url=mysql+pymysql://u:p@h/d?charset=utf8mb4";
    const COGNITO: [&str; 3] = [
        "--cognito-user-pool-id=ap-northeast-2_Abc",
        "--cognito-region=ap-northeast-2",
        "--cognito-client-id=client",
    ];

    fn validate(arguments: &[&str]) -> Result<Config, ConfigError> {
        let line = ["post-service"].iter().chain(arguments);
        Line::try_parse_from(line).unwrap().settings.validate()
    }

    #[test]
    fn on_sqlite_and_loopback_the_development_issuer_steps_in() {
        let config = validate(&["--database-url=sqlite:///tmp/x/p.db"]).unwrap();
        let key_file = PathBuf::from("/tmp/x/development-key.pem");
        assert_eq!(config.tokens, Tokens::Development { key_file });
    }

    #[test]
    fn anything_else_without_cognito_is_refused() {
        let open = [
            "--database-url=sqlite:///tmp/p.db",
            "--listen-address=0.0.0.0:8082",
        ];
        assert!(matches!(
            validate(&open),
            Err(ConfigError::CognitoRequired(_))
        ));
        let mysql = [MYSQL, "--secret-key=s"];
        assert!(matches!(
            validate(&mysql),
            Err(ConfigError::CognitoRequired(_))
        ));
        let partly = ["--database-url=sqlite:///tmp/p.db", COGNITO[0], COGNITO[2]];
        assert_eq!(
            validate(&partly).unwrap_err(),
            ConfigError::IncompleteCognito("COGNITO_REGION")
        );
    }

    #[test]
    fn the_settings_of_encryption_win_over_the_url() {
        use sqlx::ConnectOptions;
        let mode = |more: &[&str]| {
            let mut arguments = vec![
                "post-service",
                "--database-url=mysql://u:p@h/d?ssl-mode=DISABLED",
            ];
            arguments.extend(more);
            let settings = Line::try_parse_from(arguments).unwrap().settings;
            let DatabaseUrl::MySql(options) = settings.database().unwrap() else {
                panic!("not MySQL")
            };
            options.to_url_lossy().query().unwrap().to_owned()
        };
        assert!(mode(&[]).contains("ssl-mode=DISABLED"));
        for (name, in_url) in [
            ("Preferred", "PREFERRED"),
            ("Required", "REQUIRED"),
            ("VerifyCA", "VERIFY_CA"),
            ("VerifyIdentity", "VERIFY_IDENTITY"),
        ] {
            let query = mode(&[
                &format!("--database-tls-mode={name}"),
                "--database-tls-ca=/ca.pem",
            ]);
            assert!(query.contains(&format!("ssl-mode={in_url}")), "{query}");
            assert!(query.contains("ca.pem"), "{query}");
        }
    }

    #[test]
    fn the_place_of_the_keys_never_changes_the_issuer() {
        let mut arguments = vec![MYSQL, "--secret-key=s"];
        arguments.extend(COGNITO);
        let expected = "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_Abc";
        for (place, url) in [
            (None, format!("{expected}/.well-known/jwks.json")),
            (
                Some("--cognito-jwks-url=http://10.0.0.1:5000/k"),
                "http://10.0.0.1:5000/k".into(),
            ),
        ] {
            let mut arguments = arguments.clone();
            arguments.extend(place);
            let Tokens::Cognito {
                issuer, jwks_url, ..
            } = validate(&arguments).unwrap().tokens
            else {
                panic!("not Cognito")
            };
            assert_eq!(
                (issuer.as_str(), jwks_url.as_str()),
                (expected, url.as_str())
            );
        }
    }

    #[test]
    fn mysql_needs_a_secret_key() {
        let mut arguments = vec![MYSQL];
        arguments.extend(COGNITO);
        assert_eq!(validate(&arguments).unwrap_err(), ConfigError::NoSecretKey);
    }

    #[test]
    fn urls_are_asked_over_http() {
        for setting in ["comment-service-url", "otel-exporter-otlp-endpoint"] {
            let validate = |url: &str| {
                let url = format!("--{setting}={url}");
                validate(&["--database-url=sqlite:///tmp/p.db", &url])
            };
            assert!(validate("http://host:8083").is_ok());
            for url in ["ftp://c/", "mailto:c@example.com", "c:8083"] {
                let refused = validate(url).unwrap_err();
                assert!(
                    matches!(refused, ConfigError::NotHttp(_)),
                    "{setting} {url}"
                );
            }
        }
    }

    #[test]
    fn images_are_kept_beside_the_database_unless_a_place_is_named() {
        let sqlite = "--database-url=sqlite:///tmp/x/p.db";
        let place = |more: &[&str]| {
            let arguments = [&[sqlite], more].concat();
            validate(&arguments).map(|config| config.media.place)
        };
        let folder = |path: &str| Ok(Place::Folder(path.into()));
        assert_eq!(place(&[]), folder("/tmp/x/media"));
        assert_eq!(place(&["--media-folder=/srv/m"]), folder("/srv/m"));
        assert_eq!(place(&["--s3-bucket-name="]), folder("/tmp/x/media"));
        let bucket = ["--s3-bucket-name=b", "--s3-region=r"];
        let (name, region) = ("b".to_owned(), Some("r".to_owned()));
        assert_eq!(place(&bucket), Ok(Place::Bucket { name, region }));
        let both = place(&["--s3-bucket-name=b", "--media-folder=/srv/m"]).unwrap_err();
        assert!(both.to_string().starts_with("S3_BUCKET_NAME"), "{both}");
    }

    #[test]
    fn origins_are_checked_and_split() {
        assert!(origin("https://a.example").is_ok());
        assert!(origin(" http://localhost:3000 ").is_ok());
        for text in [
            "*",
            "a.example",
            "https://a.example/",
            "https://a.example/x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
        let sqlite = "--database-url=sqlite:///tmp/p.db";
        let two = "--cors-allowed-origins=https://a.example,https://b.example";
        assert_eq!(validate(&[sqlite, two]).unwrap().cors_origins.len(), 2);
    }

    #[test]
    fn the_data_folder_follows_the_xdg_specification() {
        let folder = |xdg: Option<&str>, home: Option<&str>| {
            let (xdg, home) = (xdg.map(Into::into), home.map(Into::into));
            data_folder(|name| {
                if name == "HOME" {
                    home.clone()
                } else {
                    xdg.clone()
                }
            })
        };
        let expected = |path: &str| Ok(PathBuf::from(path));
        assert_eq!(folder(Some("/x"), Some("/h")), expected("/x/post-service"));
        assert_eq!(
            folder(Some("x"), Some("/h")),
            expected("/h/.local/share/post-service")
        );
        assert_eq!(folder(None, None), Err(ConfigError::NoDataFolder));
    }
}
