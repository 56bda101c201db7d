//! The user pool's own administration, with the credentials of the AWS environment.

use crate::config::Deactivation;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_cognitoidentityprovider::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use std::{fmt, time::Duration};
use thiserror::Error;

/// A call that takes longer has failed.
const CALL_TIME: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Why Cognito did not do what it was told.
#[derive(Debug, Error)]
#[error("{operation}: {cause}")]
pub struct CognitoError {
    operation: &'static str,
    cause: String,
}

/// A user pool. `AWS_ENDPOINT_URL` leads elsewhere, for stand-ins.
#[derive(Clone)]
pub struct Cognito {
    client: Client,
    pool_id: String,
}

impl Cognito {
    /// The pool of this id. Nothing is asked of it yet; credentials are looked for at the first
    /// call.
    pub async fn new(region: &str, pool_id: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIME)
            .operation_timeout(CALL_TIME)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .timeout_config(timeouts)
            // What is left to do is in the store, and tried again from there.
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        Self {
            client: Client::new(&config),
            pool_id: pool_id.to_owned(),
        }
    }

    /// Signs a user out everywhere, then deletes or disables the account. A user that the pool does
    /// not know is done with.
    pub async fn close_account(
        &self,
        username: &str,
        action: Deactivation,
    ) -> Result<(), CognitoError> {
        let signed_out = self
            .client
            .admin_user_global_sign_out()
            .user_pool_id(&self.pool_id)
            .username(username)
            .send()
            .await;
        done("AdminUserGlobalSignOut", signed_out)?;
        match action {
            Deactivation::Delete => {
                let deleted = self
                    .client
                    .admin_delete_user()
                    .user_pool_id(&self.pool_id)
                    .username(username)
                    .send()
                    .await;
                done("AdminDeleteUser", deleted)
            }
            Deactivation::Disable => {
                let disabled = self
                    .client
                    .admin_disable_user()
                    .user_pool_id(&self.pool_id)
                    .username(username)
                    .send()
                    .await;
                done("AdminDisableUser", disabled)
            }
        }
    }
}

impl fmt::Debug for Cognito {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cognito")
            .field("pool_id", &self.pool_id)
            .finish_non_exhaustive()
    }
}

fn done<T, E, R>(
    operation: &'static str,
    result: Result<T, SdkError<E, R>>,
) -> Result<(), CognitoError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("UserNotFoundException") => Ok(()),
        Err(error) => Err(CognitoError {
            operation,
            cause: DisplayErrorContext(&error).to_string(),
        }),
    }
}
