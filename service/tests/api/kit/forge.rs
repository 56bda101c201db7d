//! Tokens that a signer of ill will can make: any header, any payload, any signature.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding},
};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

/// An RSA key, and everything that can be signed with it.
pub struct Forge {
    pair: KeyPair,
    pub kid: String,
}

impl Forge {
    /// A new key.
    pub fn new(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let kid = kid.to_owned();
        Self { pair, kid }
    }

    /// The public half, as a key set has it.
    pub fn jwk(&self) -> Value {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().expect("DER");
        let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref()));
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        let jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).expect("a key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.kid);
        jwk
    }

    /// A header that is as it should be.
    pub fn header(&self) -> Value {
        json!({"alg": "RS256", "kid": self.kid})
    }

    /// A token of these texts, signed as it should be.
    pub fn sign(&self, header: &str, payload: &[u8]) -> String {
        self.sign_by(&RSA_PKCS1_SHA256, header, payload)
    }

    /// A token of these texts, signed in this way.
    pub fn sign_by(
        &self,
        encoding: &'static dyn RsaEncoding,
        header: &str,
        payload: &[u8],
    ) -> String {
        let message = message(header, payload);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(encoding, &random, message.as_bytes(), &mut signature)
            .expect("a signature");
        format!("{message}.{}", base64url(&signature))
    }

    /// The public key in every form that a careless verifier could take for a secret.
    pub fn public_forms(&self) -> Vec<Vec<u8>> {
        let pkcs1 = self.pair.public_key().as_ref().to_vec();
        let spki: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("DER");
        let spki = spki.as_ref().to_vec();
        let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
        let texts = [
            pem("RSA PUBLIC KEY", &pkcs1),
            pem("PUBLIC KEY", &spki),
            self.jwk().to_string(),
            self.jwk()["n"].as_str().expect("a modulus").to_owned(),
        ];
        let mut forms = vec![pkcs1, spki, Vec::new()];
        for text in texts {
            forms.push(text.replace("\r\n", "\n").into_bytes());
            forms.push(text.trim_end().replace("\r\n", "\n").into_bytes());
            forms.push(text.into_bytes());
        }
        forms
    }
}

/// A token of these texts with an HMAC.
pub fn sign_by_secret(
    algorithm: hmac::Algorithm,
    secret: &[u8],
    header: &str,
    payload: &[u8],
) -> String {
    let message = message(header, payload);
    let key = hmac::Key::new(algorithm, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature.as_ref()))
}

/// What is signed of a token.
pub fn message(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", base64url(header.as_bytes()), base64url(payload))
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Unpadded base64url.
pub fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let index = usize::try_from(group >> (18 - 6 * digit) & 63).expect("a digit");
            text.push(char::from(DIGITS[index]));
        }
    }
    text
}

/// The same text but for its last digit, which is the next one: where bits of it are unused, careless
/// decoders see no difference.
pub fn with_next_digit(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    let at = DIGITS.iter().position(|digit| last.as_bytes() == [*digit]);
    let next = DIGITS[(at.expect("a digit") + 1) % 64];
    format!("{rest}{}", char::from(next))
}
