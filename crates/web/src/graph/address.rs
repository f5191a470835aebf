//! The address of a Graph request: sloppy spellings brought to one form, once, before routing and
//! before the permission check. OData 4.01 part 2 sections 4 and 5.

use axum::http::{StatusCode, Uri};

use crate::problem::Problem;

/// Which surface is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

impl Version {
    /// The first segment of its paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "v1.0",
            Version::Beta => "beta",
        }
    }
}

/// One step of the path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A name or a key.
    pub text: String,
    /// Stood in parentheses behind a name, or may be a key by its place.
    pub quoted: bool,
}

/// A request's path and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Surface.
    pub version: Version,
    /// Names and keys in turn: `managedDevices('a')/users` has three.
    pub steps: Vec<Step>,
    /// `microsoft.graph.user` in `/members/microsoft.graph.user`.
    pub cast: Option<String>,
    /// Parameters of a bound function's call, names as sent.
    pub arguments: Vec<(String, String)>,
    /// Query options in order, keys lower case and without `$`, values decoded; empty ones left out.
    pub options: Vec<(String, String)>,
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// Longest path with query that is looked at.
const MAX_LENGTH: usize = 8 * 1024;

/// Reads the address of a request below `/v1.0` or `/beta`.
pub fn parse(uri: &Uri) -> Result<Address, Problem> {
    let path = uri.path();
    let query = uri.query().unwrap_or_default();
    if path.len() + query.len() > MAX_LENGTH {
        return Err(bad("the address is longer than 8 KiB; send long lists in a body"));
    }
    let (version, rest) = if let Some(rest) = path.strip_prefix("/v1.0") {
        (Version::V1, rest)
    } else if let Some(rest) = path.strip_prefix("/beta") {
        (Version::Beta, rest)
    } else {
        return Err(bad("the path must begin with /v1.0 or /beta"));
    };
    let mut address =
        Address { version, steps: Vec::new(), cast: None, arguments: Vec::new(), options: read_options(query)? };
    let raw = split(rest);
    let last = raw.len().saturating_sub(1);
    for (i, segment) in raw.iter().enumerate() {
        read_segment(segment, i == last, &mut address)?;
    }
    Ok(address)
}

/// Segments between slashes; slashes within quotes belong to the quoted text.
fn split(path: &str) -> Vec<&str> {
    let (mut segments, mut start, mut quoted) = (Vec::new(), 0, false);
    let lower = path.to_ascii_lowercase();
    let bytes = path.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'\'' {
            quoted = !quoted;
        } else if lower[i..].starts_with("%27") {
            quoted = !quoted;
            i += 2;
        } else if bytes[i] == b'/' && !quoted {
            segments.push(&path[start..i]);
            start = i + 1;
        }
        i += 1;
    }
    segments.push(&path[start..]);
    segments.retain(|segment| !segment.is_empty());
    segments
}

fn read_segment(raw: &str, last: bool, address: &mut Address) -> Result<(), Problem> {
    let text = decode(raw, false).ok_or_else(|| bad("a path segment is not valid percent-encoded UTF-8"))?;
    if text == "." || text == ".." || text.chars().any(|c| matches!(c, '/' | '\\') || c.is_control()) {
        return Err(bad("the path has encoded separators, control characters or dot segments"));
    }
    let (name, inside) = match text.find('(') {
        Some(at) if text.ends_with(')') => (&text[..at], Some(&text[at + 1..text.len() - 1])),
        _ => (text.as_str(), None),
    };
    // A namespace in front of a bound action or function says nothing new.
    let lower = name.to_ascii_lowercase();
    let name = match lower.strip_prefix("microsoft.graph.") {
        Some(short) if inside.is_none() && super::types::table().canonical(short).is_some() => {
            address.cast = super::types::table().canonical(short).map(str::to_owned);
            return Ok(());
        }
        Some(_) => &name["microsoft.graph.".len()..],
        None => name,
    };
    if name.is_empty() {
        return Err(bad("a path segment has no name"));
    }
    address.steps.push(Step { text: name.to_owned(), quoted: false });
    match inside.map(str::trim) {
        None | Some("") => {}
        Some(inside) => match key_or_arguments(inside) {
            Some(Inside::Key(key)) => address.steps.push(Step { text: key, quoted: true }),
            Some(Inside::Arguments(arguments)) if last => address.arguments = arguments,
            _ => return Err(bad(format!("'{text}' is no key and no function call"))),
        },
    }
    Ok(())
}

enum Inside {
    Key(String),
    Arguments(Vec<(String, String)>),
}

fn key_or_arguments(inside: &str) -> Option<Inside> {
    if let Some(text) = unquote(inside) {
        return Some(Inside::Key(text));
    }
    if !inside.contains('=') {
        let plain = inside.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        return plain.then(|| Inside::Key(inside.to_owned()));
    }
    let mut arguments = Vec::new();
    for part in super::filter::split_outside_quotes(inside, ',') {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        arguments.push((name.trim().to_owned(), unquote(value).unwrap_or_else(|| value.to_owned())));
    }
    match arguments.as_slice() {
        [(name, value)] if name.eq_ignore_ascii_case("id") => Some(Inside::Key(value.clone())),
        _ => Some(Inside::Arguments(arguments)),
    }
}

fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let single = inner.replace("''", "");
    (!single.contains('\'')).then(|| inner.replace("''", "'"))
}

/// Options as they are meant: leading `?`s and `$`s aside, empty ones left out.
fn read_options(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut options: Vec<(String, String)> = Vec::new();
    for pair in query.trim_start_matches('?').split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode(key, true).ok_or_else(|| bad("a query option's name is not valid UTF-8"))?;
        let value = decode(value, true).ok_or_else(|| bad("a query option's value is not valid UTF-8"))?;
        if key.trim().is_empty() || value.trim().is_empty() {
            continue;
        }
        if value.contains('\0') {
            return Err(bad("a query option contains the character U+0000"));
        }
        let lower = key.trim().to_ascii_lowercase();
        let system = lower.strip_prefix('$').map(str::to_owned);
        let key = match (&system, KNOWN.contains(&lower.as_str())) {
            (Some(name), _) if KNOWN.contains(&name.as_str()) => name.clone(),
            (None, true) => lower,
            (Some(_), _) => {
                return Err(Problem::new(
                    StatusCode::NOT_IMPLEMENTED,
                    "NotImplemented",
                    format!("the query option {} is not supported", key.trim()),
                ));
            }
            // An option of the caller's own, as OData allows.
            (None, false) => continue,
        };
        if options.iter().any(|(known, _)| *known == key) {
            return Err(bad(format!("the query option ${key} stands twice")));
        }
        options.push((key, value));
    }
    Ok(options)
}

const KNOWN: &[&str] =
    &["filter", "select", "expand", "orderby", "top", "skip", "count", "search", "skiptoken", "format"];

/// Percent-decodes; in a query `+` is a blank.
pub(super) fn decode(text: &str, query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b'+' if query => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(uri: &str) -> Vec<String> {
        parse(&uri.parse().unwrap()).unwrap().steps.into_iter().map(|step| step.text).collect()
    }

    #[test]
    fn d3_sloppy_spellings_have_one_form() {
        let expected = ["deviceManagement", "managedDevices", "7f", "users"];
        for uri in [
            "/beta/deviceManagement/managedDevices/7f/users",
            "/beta/deviceManagement//managedDevices/7f/users/",
            "/beta/deviceManagement/managedDevices('7f')/users??$top=1",
            "/beta/deviceManagement/managedDevices(7f)/users?top=1",
            "/beta/deviceManagement/managedDevices(%277f%27)//users?&top=",
            "/beta/deviceManagement/managedDevices(id='7f')/users",
        ] {
            assert_eq!(steps(uri), expected, "{uri}");
        }
        assert_eq!(steps("/beta/users('o''neill@x.example')"), ["users", "o'neill@x.example"]);
        assert_eq!(steps("/v1.0/deviceManagement/managedDevices/a/microsoft.graph.wipe")[3], "wipe");
    }

    #[test]
    fn d3_hidden_separators_and_dots_are_refused() {
        for uri in [
            "/beta/users/a%2fb",
            "/beta/users/%2e%2e/groups",
            "/beta/users/../groups",
            "/beta/users/./a",
            "/beta/users/a%5cb",
            "/beta/users('a%2fb')",
            "/beta/users/%00",
            "/beta/users/%ff",
            "/beta/users/%c0%af",
            "/beta/users('a'b')",
        ] {
            assert!(parse(&uri.parse().unwrap()).is_err(), "{uri}");
        }
    }

    #[test]
    fn options_with_and_without_dollar() {
        let address = parse(&"/beta/users??$FILTER=a+eq%20'b'&top=5&mine=1&$skip=".parse().unwrap()).unwrap();
        assert_eq!(address.options, [("filter".to_owned(), "a eq 'b'".to_owned()), ("top".to_owned(), "5".to_owned())]);
        let refused = parse(&"/beta/users?$apply=groupby".parse().unwrap()).unwrap_err();
        assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
        assert!(refused.message.contains("$apply"));
        assert!(parse(&"/beta/users?$filter=a+eq+'%00'".parse().unwrap()).is_err(), "no database text has a NUL");
    }
}
