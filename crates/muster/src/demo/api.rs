//! The API as an administrator's script uses it: JSON over the admin listener with a bearer token.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use muster_swarm::shell::{
    Network,
    http::{Client, Response},
    url::Url,
};
use serde_json::Value;

/// A caller with a token.
#[derive(Clone, Debug)]
pub struct Api {
    network: Arc<Network>,
    admin: String,
    token: String,
}

/// Status and body of an answer; the body is null where there is none.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
    /// Headers.
    pub headers: http::HeaderMap,
}

impl Reply {
    /// The body of a success.
    pub fn ok(self) -> anyhow::Result<Value> {
        match self.status {
            200..=299 => Ok(self.body),
            status => bail!("{status}: {}", self.body),
        }
    }
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Api {
    /// A caller of the admin listener at this address.
    pub fn new(network: Arc<Network>, admin: &str, token: &str) -> Self {
        Api { network, admin: admin.trim_end_matches('/').into(), token: token.into() }
    }

    /// The admin listener, `https://host:port`.
    pub fn address(&self) -> &str {
        &self.admin
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same server as somebody else.
    pub fn with_token(&self, token: &str) -> Self {
        Api { token: token.into(), ..self.clone() }
    }

    /// One request; `path` begins with `/`.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Reply> {
        self.call_with(method, path, body, &[]).await
    }

    /// One request with further headers.
    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let url = Url::parse(&format!("{}{}", self.admin, path.replace(' ', "%20")))?;
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str()), ("accept", "application/json")];
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut client = Client::new(self.network.clone(), false);
        let Response { status, headers, body } =
            client.send(method, &url, &all, body, None).await.with_context(|| format!("{method} {path}"))?;
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
        };
        Ok(Reply { status, body, headers })
    }

    /// GET, which must succeed.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, None).await?.ok().with_context(|| format!("GET {path}"))
    }

    /// POST, which must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("POST", path, Some(body)).await?.ok().with_context(|| format!("POST {path}"))
    }

    /// PATCH, which must succeed.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("PATCH", path, Some(body)).await?.ok().with_context(|| format!("PATCH {path}"))
    }

    /// DELETE, which must succeed.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call("DELETE", path, None).await?.ok().with_context(|| format!("DELETE {path}"))
    }
}
