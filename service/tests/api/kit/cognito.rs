//! Cognito, as moto stands in for it: user pools of a test's own, with users and their tokens.

use super::client;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The region of everything.
pub const REGION: &str = "ap-northeast-2";
const PASSWORD: &str = "Correct-horse-1";

/// A user pool with one client, deleted when dropped.
pub struct Pool {
    pub endpoint: String,
    pub id: String,
    pub client_id: String,
}

/// What a user is given at sign-in.
pub struct Tokens {
    pub id: String,
    pub access: String,
}

impl Pool {
    /// A new pool at `TEST_COGNITO_ENDPOINT`; without one, a line on standard error.
    pub async fn create() -> Option<Self> {
        let endpoint = super::variable("TEST_COGNITO_ENDPOINT")?;
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        // moto may make the pool's id of its name.
        let name = json!({"PoolName": format!("test-{}", uuid::Uuid::new_v4().simple())});
        let pool = called(&endpoint, "CreateUserPool", &name).await;
        let id = text(&pool["UserPool"]["Id"]);
        let flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"];
        let client =
            json!({"UserPoolId": id, "ClientName": "frontend", "ExplicitAuthFlows": flows});
        let client = called(&endpoint, "CreateUserPoolClient", &client).await;
        Some(Self {
            client_id: text(&client["UserPoolClient"]["ClientId"]),
            id,
            endpoint,
        })
    }

    /// What the service needs to know of it, with the administration at this endpoint.
    pub fn settings(&self, administration: &str) -> Vec<(String, String)> {
        let jwks_url = format!("{}/{}/.well-known/jwks.json", self.endpoint, self.id);
        [
            ("COGNITO_USER_POOL_ID", self.id.as_str()),
            ("COGNITO_REGION", REGION),
            ("COGNITO_CLIENT_ID", &self.client_id),
            ("COGNITO_JWKS_URL", &jwks_url),
            ("AWS_ENDPOINT_URL", administration),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// A new user, signed in.
    pub async fn user(&self, name: &str) -> Tokens {
        let user = json!({"UserPoolId": self.id, "Username": name, "MessageAction": "SUPPRESS"});
        self.called("AdminCreateUser", &user).await;
        let password = json!({
            "UserPoolId": self.id, "Username": name, "Password": PASSWORD, "Permanent": true,
        });
        self.called("AdminSetUserPassword", &password).await;
        let parameters = json!({"USERNAME": name, "PASSWORD": PASSWORD});
        let sign_in = json!({
            "AuthFlow": "USER_PASSWORD_AUTH", "ClientId": self.client_id,
            "AuthParameters": parameters,
        });
        let answer = self.called("InitiateAuth", &sign_in).await;
        let tokens = &answer["AuthenticationResult"];
        Tokens {
            id: text(&tokens["IdToken"]),
            access: text(&tokens["AccessToken"]),
        }
    }

    /// Whether a user may sign in; None if there is none of this name.
    pub async fn enabled(&self, name: &str) -> Option<bool> {
        let user = json!({"UserPoolId": self.id, "Username": name});
        match call(&self.endpoint, "AdminGetUser", &user).await {
            (StatusCode::OK, user) => Some(user["Enabled"].as_bool().expect("a flag")),
            (_, error) => {
                assert_eq!(error["__type"], "UserNotFoundException", "{error}");
                None
            }
        }
    }

    /// Deletes a user behind the service's back.
    pub async fn delete_user(&self, name: &str) {
        let user = json!({"UserPoolId": self.id, "Username": name});
        self.called("AdminDeleteUser", &user).await;
    }

    async fn called(&self, operation: &str, body: &Value) -> Value {
        called(&self.endpoint, operation, body).await
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let (endpoint, pool) = (self.endpoint.clone(), json!({"UserPoolId": self.id}));
        // A runtime of its own: this one may be ending.
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let deleting = call(&endpoint, "DeleteUserPool", &pool);
            runtime.expect("a runtime").block_on(deleting);
        });
        let deleted = deleting.join();
        if !std::thread::panicking() {
            deleted.expect("the pool is deleted");
        }
    }
}

async fn called(endpoint: &str, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(endpoint, operation, body).await;
    assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
    answer
}

/// A call in AWS's JSON protocol. moto checks no signature; it reads the region from where a real
/// one has it.
async fn call(endpoint: &str, operation: &str, body: &Value) -> (StatusCode, Value) {
    let scope = format!("123456789012/20260101/{REGION}/cognito-idp/aws4_request");
    let answer = client()
        .post(format!("{endpoint}/"))
        .header("content-type", "application/x-amz-json-1.1")
        .header(
            "x-amz-target",
            format!("AWSCognitoIdentityProviderService.{operation}"),
        )
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
