//! The API behind its whole shell, in process: requests in, answers out, no sockets.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use muster_service::{
    operators::{NewAdmin, NewKeyboardToken},
    testing::{self, TestService},
};
use muster_web::{
    App, Edge,
    gate::Peer,
    routes::Audience,
    shell::{Door, Shell},
};
use serde_json::Value;
use uuid::Uuid;

/// A server with a tenant `contoso` and its owner's token.
pub struct Api {
    pub service: TestService,
    pub tenant: Uuid,
    pub token: String,
    shell: Shell,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    /// The status it must have, or a readable failure.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
    /// `value` of a list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body["value"].as_array().unwrap_or_else(|| panic!("no list: {}", self.text))
    }
    /// `error.message`.
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
    /// The id of an entity.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.text)).to_owned()
    }
}

impl Api {
    pub async fn start() -> Api {
        let service = testing::service();
        let password = "correct horse battery staple".to_owned();
        let (tenant, _) = service
            .create_admin(NewAdmin {
                tenant: None,
                user: "owner@contoso.example".into(),
                password,
                role: "owner".into(),
                totp_secret: None,
            })
            .await
            .unwrap();
        let app = App { service: service.service.clone(), edge: Arc::new(Edge::default()) };
        let mut api = Api { tenant, token: String::new(), shell: Shell::new(app), service };
        api.token = api.new_token("owner").await;
        api
    }

    /// A bearer token of a role.
    pub async fn new_token(&self, role: &str) -> String {
        let new = NewKeyboardToken {
            tenant: Some("default".into()),
            name: format!("{role} token"),
            role: role.into(),
            user: None,
            life: None,
        };
        self.service.create_keyboard_token(new).await.unwrap()
    }

    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Reply {
        self.send(method, path, token, body, &[]).await
    }

    /// A stranger's request to a listener.
    pub async fn send_to(&self, audience: Audience, method: &str, path: &str) -> Reply {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        self.answer(audience, request.body(Body::empty()).unwrap()).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", "localhost:9443");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.map_or_else(Body::empty, |text| Body::from(text.to_owned()))).unwrap();
        self.answer(Audience::Admin, request).await
    }

    async fn answer(&self, audience: Audience, request: Request<Body>) -> Reply {
        let peer = Peer { address: "127.0.0.1:50000".parse().unwrap(), certificate: None };
        let response = self.shell.clone().answer(Door::Audience(audience), peer, request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status: parts.status, headers: parts.headers, body, text }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", &path.replace(' ', "%20"), Some(&self.token), None).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(&self.token), Some(&body.to_string())).await
    }
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, Some(&self.token), Some(&body.to_string())).await
    }
    pub async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, Some(&self.token), None).await
    }
}
