//! Rendering of the public pages: templates compiled into the binary, everything escaped, no
//! inline script or style. What the person or the tenant wrote is only ever a value, never part of
//! a template (threats E13).

use std::{fmt::Write, sync::LazyLock};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use minijinja::{AutoEscape, Environment, Error, Output, State, Value, context};

/// Security headers of a page; the shell adds the rest.
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' \
     apple-remotemanagement-user-login:; base-uri 'none'; frame-ancestors 'none'";

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    pages.set_formatter(escape);
    for (name, source) in [
        ("layout.html", include_str!("templates/layout.html")),
        ("sign_in.html", include_str!("templates/sign_in.html")),
        ("set_up.html", include_str!("templates/set_up.html")),
        ("code.html", include_str!("templates/code.html")),
        ("new_password.html", include_str!("templates/new_password.html")),
        ("terms.html", include_str!("templates/terms.html")),
        ("category.html", include_str!("templates/category.html")),
        ("platform.html", include_str!("templates/platform.html")),
        ("profile.html", include_str!("templates/profile.html")),
        ("account.html", include_str!("templates/account.html")),
        ("portal.html", include_str!("templates/portal.html")),
        ("portal_device.html", include_str!("templates/portal_device.html")),
        ("first.html", include_str!("templates/first.html")),
        ("message.html", include_str!("templates/message.html")),
    ] {
        pages.add_template(name, source).expect("the templates are compiled in and tested");
    }
    pages
});

/// Writes a value into HTML text or a quoted attribute. Unlike the engine's own it leaves `/` as it
/// is, so that links stay readable to simple clients.
fn escape(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    if value.is_safe() || matches!(state.auto_escape(), AutoEscape::None) {
        return Ok(out.write_str(&text)?);
    }
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

/// What every page shows of the organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brand {
    /// Name.
    pub name: String,
    /// Path of the style sheet.
    pub style: String,
    /// Path of the logo.
    pub logo: Option<String>,
    /// Whether the name stands beside the logo.
    pub show_name: bool,
    /// Support contact.
    pub contact_name: String,
    /// Support phone number.
    pub contact_phone: String,
    /// Support mail address.
    pub contact_mail: String,
    /// Support site.
    pub support_url: String,
    /// Its name.
    pub support_name: String,
    /// Additional information.
    pub notes: String,
    /// Privacy statement.
    pub privacy_url: String,
}

impl Brand {
    /// The look without an organisation's branding.
    pub fn plain(style: &str) -> Self {
        Brand { name: "Muster".into(), style: style.into(), show_name: true, ..Brand::default() }
    }

    fn value(&self) -> Value {
        let phone: String = self.contact_phone.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
        context! {
            name => self.name.clone(),
            style => self.style.clone(),
            logo => self.logo.clone(),
            show_name => self.show_name || self.logo.is_none(),
            contact_name => self.contact_name.clone(),
            contact_phone => self.contact_phone.clone(),
            contact_phone_link => phone,
            contact_mail => self.contact_mail.clone(),
            support_url => self.support_url.clone(),
            support_name => if self.support_name.is_empty() { self.support_url.clone() } else { self.support_name.clone() },
            notes => self.notes.clone(),
            privacy_url => self.privacy_url.clone(),
        }
    }
}

/// One page.
pub struct Page {
    /// Status of the answer.
    pub status: StatusCode,
    /// Heading and title.
    pub title: String,
    /// Template.
    pub template: &'static str,
    /// Values of the template.
    pub values: Value,
    /// Why something was refused.
    pub reason: Option<String>,
    /// Recovery codes, shown once.
    pub recovery_codes: Vec<String>,
}

impl Page {
    /// A page that went well.
    pub fn new(title: impl Into<String>, template: &'static str, values: Value) -> Self {
        Page { status: StatusCode::OK, title: title.into(), template, values, reason: None, recovery_codes: Vec::new() }
    }

    /// The same page as a refusal.
    pub fn refused(mut self, status: StatusCode, reason: impl Into<String>) -> Self {
        self.status = status;
        self.reason = Some(sentence(&reason.into()));
        self
    }

    /// Renders.
    pub fn respond(self, brand: &Brand) -> Response {
        let common = context! {
            title => self.title,
            brand => brand.value(),
            reason => self.reason,
            recovery_codes => self.recovery_codes,
        };
        let rendered = PAGES
            .get_template(self.template)
            .and_then(|template| template.render(context! { ..self.values, ..common }));
        match rendered {
            Ok(html) => {
                let mut response = (self.status, html).into_response();
                let headers = response.headers_mut();
                for (name, value) in [
                    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                    (header::CONTENT_SECURITY_POLICY, CSP),
                    // "no-referrer" would make browsers send "Origin: null" with our own forms.
                    (header::REFERRER_POLICY, "same-origin"),
                    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
                ] {
                    headers.insert(name, HeaderValue::from_static(value));
                }
                response
            }
            Err(error) => {
                // The kind only: the values of a page are personal.
                tracing::error!(kind = %error.kind(), template = self.template, "a page could not be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// Our error texts begin in lower case; a person reads a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut sentence: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn html(page: Page, brand: &Brand) -> String {
        let body = page.respond(brand).into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn e13_what_people_write_is_echoed_inert() {
        let evil = "{{7*7}} ${7*7} #{7*7} %{7*7} <script>alert(1)</script> \"'";
        let brand = Brand { name: evil.into(), notes: evil.into(), ..Brand::plain("/style.css") };
        let page =
            Page::new("Sign in", "sign_in.html", context! { action => "/enroll", username => evil, lead => evil })
                .refused(StatusCode::FORBIDDEN, evil);
        let html = html(page, &brand).await;
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("{{7*7}} ${7*7}"), "{html}");
        assert!(!html.contains("49"), "{html}");
    }

    #[tokio::test]
    async fn k4_pages_allow_no_inline_script_and_no_framing() {
        let response = Page::new("Done", "message.html", context! {}).respond(&Brand::plain("/style.css"));
        let csp = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"), "{csp}");
        assert!(!csp.contains("unsafe"), "{csp}");
    }

    #[test]
    fn reasons_read_as_sentences() {
        assert_eq!(sentence("the user name is not right"), "The user name is not right.");
        assert_eq!(sentence(""), ".");
    }
}
