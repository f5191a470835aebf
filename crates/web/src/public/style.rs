//! The style sheet of the public pages, plain and with an organisation's colour, and its logo.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use muster_service::{Service, branding::Branding};
use uuid::Uuid;

use super::page::Brand;
use crate::{App, problem::Problem};

const STYLE: &str = include_str!("style.css");
/// The plain sheet on the public listener.
const PLAIN: &str = "/style.css";

/// GET /style.css
pub async fn plain() -> Response {
    sheet(STYLE.to_owned())
}

/// The tenant and the profile of a path.
fn ids((tenant, profile): (String, String)) -> Result<(Uuid, Uuid), Problem> {
    let id = |text: String| Uuid::try_parse(&text).ok();
    let nothing = || Problem::from(muster_service::Error::not_found("there is no such branding"));
    id(tenant).zip(id(profile)).ok_or_else(nothing)
}

/// GET /branding/{tenant}/{profile}/style.css
pub async fn branded(State(app): State<App>, Path(keys): Path<(String, String)>) -> Result<Response, Problem> {
    let (tenant, profile) = ids(keys)?;
    let (branding, _) = app.service.branding_profile(tenant, profile).await?;
    let accent = branding.theme.map(|colour| {
        let [r, g, b] = readable(colour);
        format!(":root {{ --accent: #{r:02x}{g:02x}{b:02x}; }}\n")
    });
    Ok(sheet(format!("{STYLE}{}", accent.unwrap_or_default())))
}

/// GET /branding/{tenant}/{profile}/logo
pub async fn logo(State(app): State<App>, Path(keys): Path<(String, String)>) -> Result<Response, Problem> {
    let (tenant, profile) = ids(keys)?;
    let (branding, picture) = app.service.branding_profile(tenant, profile).await?;
    let (kind, bytes) = picture
        .filter(|_| branding.logo)
        .ok_or_else(|| Problem::from(muster_service::Error::not_found("there is no logo")))?;
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    cached(&mut response);
    Ok(response)
}

fn sheet(css: String) -> Response {
    let mut response = css.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    cached(&mut response);
    response
}

fn cached(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
}

/// The organisation's colour, darkened until white text on it reaches 4.5 to 1.
fn readable(mut colour: [u8; 3]) -> [u8; 3] {
    while 1.05 / (luminance(colour) + 0.05) < 4.5 {
        colour = colour.map(|channel| (f64::from(channel) * 0.95) as u8);
    }
    colour
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: [u8; 3]) -> f64 {
    let [r, g, b] = colour.map(|channel| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

impl From<Branding> for Brand {
    fn from(branding: Branding) -> Self {
        let address =
            |name: &str| branding.profile.map(|(tenant, profile)| format!("/branding/{tenant}/{profile}/{name}"));
        Brand {
            style: address("style.css").map_or(PLAIN.into(), |path| format!("{path}?v={}", branding.version)),
            logo: address("logo").filter(|_| branding.logo),
            name: branding.name,
            show_name: branding.show_name,
            contact_name: branding.contact_name,
            contact_phone: branding.contact_phone,
            contact_mail: branding.contact_mail,
            support_url: branding.support_url,
            support_name: branding.support_name,
            notes: branding.notes,
            privacy_url: branding.privacy_url,
        }
    }
}

/// The look of a public page: the person's, or the one before sign-in. A page without it is better
/// than none.
pub(super) async fn brand(service: &Service, who: Option<(Uuid, Uuid)>) -> Brand {
    let found = match who {
        Some((tenant, person)) => service.branding(tenant, Some(person)).await.map(Some),
        None => service.branding_before_sign_in().await,
    };
    match found {
        Ok(found) => found.map_or_else(|| Brand::plain(PLAIN), Brand::from),
        Err(error) => {
            tracing::warn!(%error, "the branding could not be read");
            Brand::plain(PLAIN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_text_stays_readable_on_any_colour() {
        for colour in [[255, 255, 255], [255, 220, 0], [0, 92, 162], [0, 0, 0]] {
            assert!(1.05 / (luminance(readable(colour)) + 0.05) >= 4.5, "{colour:?}");
        }
        assert_eq!(readable([0, 92, 162]), [0, 92, 162], "a dark colour stays as it is");
    }
}
