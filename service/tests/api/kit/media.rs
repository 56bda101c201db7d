//! Images, buckets, and a wire between service and bucket that can be cut.

use super::Service;
use image::{ImageFormat, Rgb, RgbImage};
use img_parts::{Bytes, DynImage, ImageEXIF, png::Png, png::PngChunk};
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path, signer::Signer};
use post_service::media::{Backend, Config, Place};
use reqwest::Method;
use std::{io::Cursor, net::SocketAddr, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The largest file that test services take.
pub const MAX_FILE_SIZE: usize = 5 * 1024 * 1024;
/// A place, in the EXIF of [`photograph`].
pub const LATITUDE: &[u8] = b"37.5665N";

/// What test services have set about images.
pub fn config() -> Config {
    Config {
        place: Place::Nowhere,
        bucket_name: "karina-winter".to_owned(),
        prefix: "image_files".to_owned(),
        max_file_size: MAX_FILE_SIZE as u64,
        public_base: None,
    }
}

/// A small picture.
pub fn picture(format: ImageFormat) -> Vec<u8> {
    let shade = |value: u32| u8::try_from(value).expect("a byte");
    let pixels = RgbImage::from_fn(32, 16, |x, y| Rgb([shade(x * 7), shade(y * 15), 9]));
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, format).expect("an image");
    file.into_inner()
}

/// A picture that tells where it was taken: EXIF with a directory of GPS data.
pub fn photograph() -> Vec<u8> {
    let mut exif = b"II\x2a\0\x08\0\0\0\x01\0".to_vec();
    // GPSInfo: a directory at 26, with GPSProcessingMethod, text at 44.
    exif.extend(b"\x25\x88\x04\0\x01\0\0\0\x1a\0\0\0\0\0\0\0");
    exif.extend(b"\x01\0\x1b\0\x07\0\x08\0\0\0\x2c\0\0\0\0\0\0\0");
    exif.extend(LATITUDE);
    let jpeg = picture(ImageFormat::Jpeg);
    let mut image = DynImage::from_bytes(jpeg.into())
        .expect("a JPEG")
        .expect("a known kind");
    image.set_exif(Some(exif.into()));
    image.encoder().bytes().to_vec()
}

/// A real PNG of exactly this many bytes.
pub fn padded(size: usize) -> Vec<u8> {
    let mut png = Png::from_bytes(picture(ImageFormat::Png).into()).expect("a PNG");
    let padding = size - png.len() - 12;
    let chunk = PngChunk::new(*b"tEXt", Bytes::from(vec![b'x'; padding]));
    png.chunks_mut().insert(1, chunk);
    png.encoder().bytes().to_vec()
}

/// A form, as browsers send it.
#[derive(Default)]
pub struct Form(Vec<u8>);

impl Form {
    const BOUNDARY: &str = "----form";

    /// A form with one file.
    pub fn file(name: &str, content: &[u8]) -> Self {
        Self::default().and("file", name, content)
    }

    /// The form with a file in this field.
    pub fn and(mut self, field: &str, name: &str, content: &[u8]) -> Self {
        // As browsers escape names (https://html.spec.whatwg.org/#multipart-form-data).
        let name = name.replace('"', "%22").replace('\n', "%0A");
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
             Content-Type: image/png\r\n\r\n",
            Self::BOUNDARY
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// The request with this form as its body.
    pub fn send_in(mut self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let kind = format!("multipart/form-data; boundary={}", Self::BOUNDARY);
        let end = format!("--{}--\r\n", Self::BOUNDARY);
        self.0.extend_from_slice(end.as_bytes());
        request.header("Content-Type", kind).body(self.0)
    }
}

impl Service {
    /// Uploads a form to a post.
    pub async fn upload(&self, token: &str, post: &str, form: Form) -> super::Answer {
        let path = format!("/api/v1/posts/{post}/media");
        let request = self.request(Method::POST, &path).bearer_auth(token);
        super::Answer::of(form.send_in(request)).await
    }
}

/// Keys in a bucket of the S3 of `TEST_S3_ENDPOINT` that are a test's own; deleted at its end.
pub struct Bucket {
    endpoint: String,
    pub config: Config,
}

const BUCKET: &str = "post-service-tests";

impl Bucket {
    /// A prefix nobody else uses; without an S3, a line on standard error.
    pub async fn open() -> Option<Self> {
        let endpoint = super::variable("TEST_S3_ENDPOINT")?;
        let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
        let config = Config { prefix, ..config() };
        let bucket = Self { endpoint, config };
        Self::create(&bucket.endpoint).await;
        Some(bucket)
    }

    /// Makes the bucket, which may be there.
    async fn create(endpoint: &str) {
        let s3 = Self::builder(endpoint).build().expect("a client");
        let minute = Duration::from_mins(1);
        let url = s3.signed_url(Method::PUT, &Path::default(), minute).await;
        let request = super::client().put(url.expect("a signed address"));
        let status = request.send().await.expect("an answer").status();
        assert!(matches!(status.as_u16(), 200 | 409), "{status}");
    }

    fn builder(endpoint: &str) -> AmazonS3Builder {
        let variable = |name| std::env::var(name).expect(name);
        AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id(variable("TEST_S3_ACCESS_KEY"))
            .with_secret_access_key(variable("TEST_S3_SECRET_KEY"))
    }

    /// The service's way to it.
    pub fn backend(&self) -> Backend {
        Backend::s3(Self::builder(&self.endpoint)).expect("a backend")
    }

    /// The service's way to it, over this wire.
    pub fn backend_over(wire: &Wire) -> Backend {
        let endpoint = format!("http://{}", wire.address);
        Backend::s3(Self::builder(&endpoint)).expect("a backend")
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.endpoint
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned()
    }

    /// The keys of its objects.
    pub async fn keys(&self) -> Vec<String> {
        keys(&Self::builder(&self.endpoint), &self.config.prefix).await
    }
}

async fn keys(builder: &AmazonS3Builder, prefix: &str) -> Vec<String> {
    let s3 = builder.clone().build().expect("a client");
    let objects: Vec<_> = futures::StreamExt::collect(s3.list(Some(&Path::from(prefix)))).await;
    let key = |object: object_store::Result<object_store::ObjectMeta>| {
        object.expect("an object").location.to_string()
    };
    objects.into_iter().map(key).collect()
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let (builder, prefix) = (Self::builder(&self.endpoint), self.config.prefix.clone());
        // A runtime of its own: this one may be ending.
        let emptying = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let s3 = builder.clone().build().expect("a client");
                for key in keys(&builder, &prefix).await {
                    s3.delete(&Path::from(key)).await.expect("a deletion");
                }
            });
        });
        let emptied = emptying.join();
        if !std::thread::panicking() {
            emptied.expect("the objects are deleted");
        }
    }
}

/// What a wire does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries it.
    Open,
    /// Carries it, but nothing for this long after a connection or a change.
    Slow(Duration),
    /// Takes it and carries nothing.
    Hung,
    /// Ends every connection.
    Cut,
}

/// A way to a server that can be slow, hang or be cut.
pub struct Wire {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Wire {
    /// An open way to this address.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), seen.clone()));
            }
        });
        Self { address, mode }
    }

    /// From now on it behaves like this, also on connections that are open.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn carry(mut client: TcpStream, server: String, mut seen: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    loop {
        let mode = *seen.borrow_and_update();
        let carrying = async {
            match mode {
                Mode::Hung => return std::future::pending().await,
                Mode::Slow(time) => tokio::time::sleep(time).await,
                Mode::Open | Mode::Cut => {}
            }
            let _ = copy_bidirectional(&mut client, &mut server).await;
        };
        if mode == Mode::Cut {
            return;
        }
        tokio::select! {
            () = carrying => return,
            changed = seen.changed() => if changed.is_err() { return },
        }
    }
}
