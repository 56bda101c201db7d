//! Images of the service that go wrong, for end-to-end tests of rollouts: migrations are the real
//! service's; `serve` does what the image's environment says.
#![expect(clippy::unwrap_used, reason = "a broken stand-in shall be seen")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, MySqlConnection};

const SERVICE: &str = "/usr/local/bin/post-service";

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut service = Command::new(SERVICE);
    service.args(&arguments);
    let serves = arguments.first().map(String::as_str) == Some("serve");
    let fault = std::env::var("FAULT").unwrap();
    if !serves && fault == "newer" {
        assert!(
            service.status().unwrap().success(),
            "the service has said why"
        );
        return migrate_further();
    }
    assert!(serves, "{}", service.exec());
    match fault.as_str() {
        "exits" | "newer" => {
            // A secret that must not be repeated in the operator's words.
            eprintln!(
                "cannot start with {}",
                std::env::var("DATABASE_URL").unwrap()
            );
            std::process::exit(3);
        }
        "hangs" => loop {
            thread::sleep(Duration::from_mins(1));
        },
        "unready" => serve(503, 503),
        "errors" => serve(200, 500),
        "dies" => {
            let mut child = service.spawn().unwrap();
            thread::sleep(Duration::from_secs(6));
            child.kill().unwrap();
            eprintln!("out of luck");
            std::process::exit(7);
        }
        other => panic!("{other} is no fault"),
    }
}

/// What the migration of a later version does.
#[tokio::main(flavor = "current_thread")]
async fn migrate_further() {
    let url = std::env::var("DATABASE_URL").unwrap();
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    let column = Migration::new(
        9999,
        "add posts pinned".into(),
        MigrationType::Simple,
        "ALTER TABLE posts ADD COLUMN pinned BOOLEAN NOT NULL DEFAULT FALSE".into(),
        true,
    );
    let migrator = Migrator {
        migrations: vec![column].into(),
        ignore_missing: true,
        ..Migrator::DEFAULT
    };
    migrator.run_direct(&mut connection).await.unwrap();
}

/// Probes get `probe`, everything else `answer`, which the metrics count.
fn serve(probe: u16, answer: u16) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for stream in TcpListener::bind("0.0.0.0:9090").unwrap().incoming() {
            let requests = counted.load(Ordering::Relaxed);
            let body = format!(
                "http_requests_total{{method=\"GET\",route=\"/\",status=\"{answer}\"}} {requests}\n"
            );
            reply(stream, |_| (200, body.clone()));
        }
    });
    for stream in TcpListener::bind("0.0.0.0:8082").unwrap().incoming() {
        let count = count.clone();
        thread::spawn(move || {
            reply(stream, |request| {
                if request.contains("/livez") {
                    return (200, String::new());
                }
                if request.contains("/readyz") || request.contains("/health") {
                    return (probe, String::new());
                }
                count.fetch_add(1, Ordering::Relaxed);
                (answer, String::new())
            });
        });
    }
}

fn reply(stream: std::io::Result<TcpStream>, answer: impl Fn(&str) -> (u16, String)) {
    let Ok(mut stream) = stream else { return };
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or(0);
    let (status, body) = answer(&String::from_utf8_lossy(&request[..length]));
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Who asked may be gone.
    let _ = stream.write_all((head + &body).as_bytes());
}
