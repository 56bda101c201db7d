//! Amazon ECR by `DescribeImages`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_ecr::Client;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecr::operation::describe_images::DescribeImagesError;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;

use super::{Digest, Registry, RegistryError, RegistryImage};

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The operator's AWS configuration: the default credential chain (environment, IRSA, EKS Pod
/// Identity), with a time limit and a few attempts for each call.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    aws_config::from_env()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .load()
        .await
}

/// ECR registries of every account and region.
pub struct Ecr {
    config: SdkConfig,
    clients: Mutex<HashMap<String, Client>>,
}

impl Ecr {
    /// Registries reached by `config`, whose region is replaced by the repository's.
    pub fn new(config: SdkConfig) -> Self {
        Self {
            config,
            clients: Mutex::default(),
        }
    }

    fn client(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(region.to_owned())
            .or_insert_with(|| {
                let config = aws_sdk_ecr::config::Builder::from(&self.config)
                    .region(Region::new(region.to_owned()))
                    .build();
                Client::from_conf(config)
            })
            .clone()
    }

    async fn describe(
        &self,
        repository: String,
        tag: String,
    ) -> Result<RegistryImage, RegistryError> {
        let Some(address) = Address::parse(&repository) else {
            return Err(RegistryError::Unsupported { repository });
        };
        let image = ImageIdentifier::builder().image_tag(&tag).build();
        let answer = self
            .client(&address.region)
            .describe_images()
            .registry_id(&address.account)
            .repository_name(&address.name)
            .image_ids(image)
            .send()
            .await
            .map_err(|error| classify(&error, &repository, &tag))?;
        answer
            .image_details()
            .iter()
            .find(|image| image.image_tags().contains(&tag))
            .ok_or_else(|| RegistryError::TagNotFound {
                repository: repository.clone(),
                tag: tag.clone(),
            })
            .and_then(|image| to_image(image, &repository))
    }
}

impl Registry for Ecr {
    fn resolve(
        self: Arc<Self>,
        repository: String,
        tag: String,
    ) -> BoxFuture<'static, Result<RegistryImage, RegistryError>> {
        async move { self.describe(repository, tag).await }.boxed()
    }
}

fn to_image(image: &ImageDetail, repository: &str) -> Result<RegistryImage, RegistryError> {
    let digest = image
        .image_digest()
        .and_then(Digest::parse)
        .ok_or_else(|| RegistryError::Unavailable {
            repository: repository.to_owned(),
            detail: "the answer carries no sha256 digest".into(),
        })?;
    let pushed_at = image
        .image_pushed_at()
        .and_then(|time| Timestamp::from_second(time.secs()).ok());
    Ok(RegistryImage { digest, pushed_at })
}

fn classify(error: &SdkError<DescribeImagesError>, repository: &str, tag: &str) -> RegistryError {
    let repository = repository.to_owned();
    match error.code() {
        Some("ImageNotFoundException") => RegistryError::TagNotFound {
            repository,
            tag: tag.to_owned(),
        },
        Some("RepositoryNotFoundException") => RegistryError::RepositoryNotFound { repository },
        Some(
            code @ ("AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"),
        ) => RegistryError::AccessDenied {
            repository,
            detail: code.to_owned(),
        },
        code => match error {
            // The connector's other failures: no credentials were found, or they were refused.
            SdkError::DispatchFailure(failure) if failure.is_other() => {
                let detail = "no usable AWS credentials: bind the service account to a role".into();
                RegistryError::AccessDenied { repository, detail }
            }
            // Without the request's id, so that the same fault reads the same.
            _ => {
                let code = code.unwrap_or("no answer");
                let detail = format!("{code} {}", error.message().unwrap_or_default());
                let detail = detail.trim().to_owned();
                RegistryError::Unavailable { repository, detail }
            }
        },
    }
}

/// `<account>.dkr.ecr.<region>.amazonaws.com[.cn]/<name>`, as the Amazon ECR user guide gives it.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    account: String,
    region: String,
    name: String,
}

impl Address {
    fn parse(repository: &str) -> Option<Self> {
        let (host, name) = repository.split_once('/')?;
        let host = host
            .strip_suffix(".cn")
            .unwrap_or(host)
            .strip_suffix(".amazonaws.com")?;
        let (account, region) = host
            .split_once(".dkr.ecr.")
            .or_else(|| host.split_once(".dkr.ecr-fips."))?;
        let valid = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (valid && !region.is_empty() && !region.contains('.') && !name.is_empty()).then(|| Self {
            account: account.into(),
            region: region.into(),
            name: name.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ecr_host_gives_account_region_and_name() {
        let parsed =
            Address::parse("123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/team/post-service");
        let expected = Address {
            account: "123456789012".into(),
            region: "ap-northeast-2".into(),
            name: "team/post-service".into(),
        };
        assert_eq!(parsed, Some(expected));
    }

    #[test]
    fn other_hosts_are_no_ecr() {
        for repository in [
            "docker.io/library/mysql",
            "12345.dkr.ecr.eu-west-1.amazonaws.com/x",
            "123456789012.dkr.ecr.amazonaws.com/x",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/x",
        ] {
            assert_eq!(Address::parse(repository), None, "{repository}");
        }
    }
}
