//! The databases that the service runs on.

use clap::ValueEnum;

use crate::programs::mysql::Kind as Server;

/// Where the board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Database {
    Mysql,
    Mariadb,
    /// A file; for development only, measured for comparison.
    Sqlite,
}

impl Database {
    /// The server, if it is not a file.
    pub(super) fn server(self) -> Option<Server> {
        match self {
            Self::Mysql => Some(Server::MySql),
            Self::Mariadb => Some(Server::MariaDb),
            Self::Sqlite => None,
        }
    }

    /// As files are named after it.
    pub(super) fn name(self) -> &'static str {
        self.server().map_or("sqlite", Server::name)
    }

    /// The folder with its schema.
    pub(super) fn migrations(self) -> &'static str {
        match self {
            Self::Mysql | Self::Mariadb => "mysql",
            Self::Sqlite => "sqlite",
        }
    }
}
