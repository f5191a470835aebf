//! The web view of a device: cookies, redirects, forms filled by a person.

use super::{
    Error, Person, Result,
    forms::Page,
    http::{Client, Response},
    url::{Url, encode},
};
use crate::model::{Family, Hardware};

/// Pages a person goes through before giving up.
const PAGES: usize = 16;
/// Redirects followed for one request.
const REDIRECTS: usize = 8;

/// A web view with its own cookies.
#[derive(Debug)]
pub struct Browser<'a> {
    client: &'a mut Client,
    family: Family,
    agent: String,
    cookies: Vec<(String, String, String)>,
}

/// Where a walk through pages ended.
#[derive(Clone, Debug)]
pub enum End {
    /// A document of the `<a id="profile">` link, with its content type.
    Profile(Vec<u8>),
    /// A redirect to a scheme of the system.
    Scheme(String),
    /// A page without a form.
    Page(Box<Page>, Response),
}

impl<'a> Browser<'a> {
    /// A web view on a device.
    pub fn new(client: &'a mut Client, hardware: &Hardware) -> Self {
        let version = hardware.system.to_string();
        let agent = match hardware.family {
            Family::Mac => format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/{version} Safari/605.1.15"
            ),
            family => format!(
                "Mozilla/5.0 ({}; CPU {} OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/{version} Mobile/15E148 Safari/604.1",
                family.word(),
                if family == Family::IPhone { "iPhone" } else { "" },
                version.replace('.', "_"),
            ),
        };
        Browser { client, family: hardware.family, agent, cookies: Vec::new() }
    }

    /// Fetches a page, following redirects.
    pub async fn get(&mut self, url: &Url) -> Result<(Url, std::result::Result<Response, String>)> {
        self.follow(url.clone(), "GET", Vec::new()).await
    }

    async fn follow(
        &mut self,
        mut url: Url,
        method: &str,
        body: Vec<u8>,
    ) -> Result<(Url, std::result::Result<Response, String>)> {
        let (mut method, mut body) = (method.to_owned(), body);
        for _ in 0..REDIRECTS {
            let response = self.send(&method, &url, body.clone()).await?;
            let Some(location) = response.header("location").filter(|_| (300..400).contains(&response.status)) else {
                return Ok((url, Ok(response)));
            };
            if location.contains(':') && !location.starts_with("http") {
                return Ok((url, Err(location.to_owned())));
            }
            url = url.join(location)?;
            if !matches!(response.status, 307 | 308) {
                (method, body) = ("GET".into(), Vec::new());
            }
        }
        Err(Error::Unexpected("too many redirects".into()))
    }

    async fn send(&mut self, method: &str, url: &Url, body: Vec<u8>) -> Result<Response> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .filter(|(host, _, _)| *host == url.host)
            .map(|(_, name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let origin = format!("{}://{}", url.scheme, url.authority());
        let mut headers = vec![("user-agent", self.agent.as_str()), ("accept", "text/html,*/*;q=0.8")];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            headers.push(("origin", &origin));
            headers.push(("sec-fetch-site", "same-origin"));
        }
        let response = self.client.send(method, url, &headers, body, None).await?;
        for cookie in response.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = text.split_once('=') {
                self.cookies.retain(|(host, known, _)| !(*host == url.host && known == name.trim()));
                self.cookies.push((url.host.clone(), name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Ok(response)
    }

    /// Goes through the forms from this address until a profile, a scheme or a page without a form.
    pub async fn walk(&mut self, start: &Url, person: &mut Person) -> Result<End> {
        let (mut url, mut step) = self.get(start).await?;
        for _ in 0..PAGES {
            let response = match step {
                Err(scheme) => return Ok(End::Scheme(scheme)),
                Ok(response) => response,
            };
            let page = Page::read(&response.text());
            if response.status >= 400 {
                let reason = page.reason.unwrap_or_else(|| response.text().chars().take(200).collect());
                return Err(Error::Refused { status: response.status, reason });
            }
            if response.content_type() == "application/x-apple-aspen-config" {
                return Ok(End::Profile(response.body));
            }
            if let Some(link) = &page.profile {
                let (_, answer) = self.get(&url.join(link)?).await?;
                let answer = answer.map_err(Error::Unexpected)?;
                if answer.status != 200 || answer.content_type() != "application/x-apple-aspen-config" {
                    let reason = Page::read(&answer.text()).reason.unwrap_or_else(|| "no profile came".into());
                    return Err(Error::Refused { status: answer.status, reason });
                }
                return Ok(End::Profile(answer.body));
            }
            if let Some(secret) = &page.totp_secret {
                person.totp_secret = Some(secret.clone());
            }
            let Some(form) = page.forms.first() else { return Ok(End::Page(Box::new(page), response)) };
            let now = self.client.network().now();
            let Some(fields) = person.fill(form, self.family, now) else {
                return Err(Error::Device("the person does not go on".into()));
            };
            let pairs: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let target = url.join(&form.action)?;
            (url, step) = match form.method.as_str() {
                "post" => self.follow(target, "POST", pairs.join("&").into_bytes()).await?,
                _ => {
                    let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    self.follow(target.with_query(&pairs), "GET", Vec::new()).await?
                }
            };
        }
        Err(Error::Unexpected("the forms do not end".into()))
    }
}
