//! The key of the viewer hash, made where the user gives none.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};

use super::secrets::{self, Credentials, RawSecrets, SECRET_KEY, SecretFault};
use super::validate::Validated;
use super::{Context, Error};
use crate::build::own_secrets;
use crate::database::Password;

/// Reads the credentials; makes the Secret with the key when it alone is missing. Once made it is
/// never overwritten: another key would count every viewer again.
pub async fn credentials(
    spec: &Validated,
    raw: &mut RawSecrets,
    ctx: &Context,
) -> Result<Result<Credentials, SecretFault>, Error> {
    let parse =
        |raw: &RawSecrets| secrets::parse(&spec.spec, &spec.id.namespace, &spec.id.name, raw);
    let found = parse(raw);
    // Of a stopped service no Secret was read.
    if spec.spec.stopped || !matches!(found, Err(SecretFault::NoSecretKey { .. })) {
        return Ok(found);
    }
    let Some(key) = Password::generate() else {
        return Ok(found);
    };
    let name = own_secrets::secret_key_name(&spec.id.name);
    let secret = Secret {
        string_data: Some([(SECRET_KEY.to_owned(), key.expose().to_owned())].into()),
        ..own_secrets::empty(spec, &name)
    };
    let secrets = Api::<Secret>::namespaced(ctx.client.clone(), &spec.id.namespace);
    let made = secrets.create(&PostParams::default(), &secret).await;
    raw.secret_key = Some(made.map_err(|source| Error::write::<Secret>(&name, source))?);
    tracing::info!(
        namespace = spec.id.namespace,
        name,
        "generated a secret-key"
    );
    Ok(parse(raw))
}
