//! The body of a form: few short fields, none twice.

use axum::{
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use muster_service::RequestContext;

use crate::authentication;

/// Longest value of a field.
const LONGEST: usize = 8 * 1024;

/// What a form sent.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of a field, not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The same, owned.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// Parses `application/x-www-form-urlencoded`; a field that stands twice is an error (threats E8).
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(body).map_err(|_| "the form is not text")?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or("the form is not encoded as forms are")?;
            let value = decode(value).ok_or("the form is not encoded as forms are")?;
            if value.len() > LONGEST {
                return Err("a field of the form is too long");
            }
            if fields.iter().any(|(key, _)| *key == name) {
                return Err("a field of the form stands twice");
            }
            fields.push((name, value));
            if fields.len() > 64 {
                return Err("the form has too many fields");
            }
        }
        Ok(Fields(fields))
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A posted form with the request's context; `Err` holds why it is refused and with which status.
pub struct Posted {
    /// What it sent, or why not.
    pub fields: Result<Fields, (StatusCode, &'static str)>,
    /// Who sent it.
    pub context: RequestContext,
    /// The browser's own description.
    pub user_agent: String,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
        let user_agent = user_agent(request.headers());
        let same_origin = authentication::same_origin(request.headers());
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form =
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let fields = if !same_origin {
            Err((StatusCode::FORBIDDEN, "this form was sent by another site"))
        } else if !form {
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the form as application/x-www-form-urlencoded"))
        } else {
            match axum::body::Bytes::from_request(request, state).await {
                Ok(body) => Fields::parse(&body).map_err(|why| (StatusCode::BAD_REQUEST, why)),
                Err(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, "the form is too large")),
            }
        };
        Ok(Posted { fields, context, user_agent })
    }
}

/// The `User-Agent` header, bounded.
pub fn user_agent(headers: &axum::http::HeaderMap) -> String {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let fields = Fields::parse(b"username=ada%40example.org&password=a+b%C3%A9&empty=").unwrap();
        assert_eq!(fields.get("username"), Some("ada@example.org"));
        assert_eq!(fields.get("password"), Some("a bé"));
        assert_eq!(fields.get("empty"), None);
    }

    #[test]
    fn e8_a_field_that_stands_twice_is_refused() {
        assert!(Fields::parse(b"username=a&username=b").is_err());
        assert!(Fields::parse(b"a=%zz").is_err());
        assert!(Fields::parse(b"a=%ff").is_err());
    }
}
