//! Reading the few things a person looks at on a web page: forms, the reason of a refusal, links.

/// What a page offers.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Forms in order.
    pub forms: Vec<Form>,
    /// Text of `<p id="reason">`.
    pub reason: Option<String>,
    /// Link of `<a id="profile">`.
    pub profile: Option<String>,
    /// Text of `<code id="totp-secret">`.
    pub totp_secret: Option<String>,
}

/// A form.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// `post` or `get`.
    pub method: String,
    /// Where it goes, empty for the page itself.
    pub action: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// `text`, `hidden`, `password`, `checkbox`, `radio`, `select`, `submit`, ...
    pub kind: String,
    /// Its value, of a select the chosen option.
    pub value: String,
    /// Values to choose from.
    pub options: Vec<String>,
    /// Ticked or chosen beforehand.
    pub checked: bool,
}

impl Form {
    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Page {
    /// Reads a page.
    pub fn read(html: &str) -> Self {
        let mut page = Page::default();
        let mut select: Option<Field> = None;
        let mut at = 0;
        while let Some(open) = html[at..].find('<').map(|found| found + at) {
            if html[open..].starts_with("<!--") {
                at = html[open..].find("-->").map_or(html.len(), |end| open + end + 3);
                continue;
            }
            let Some(close) = end_of_tag(html, open) else { break };
            let tag = Tag::read(&html[open + 1..close]);
            at = close + 1;
            let id = tag.get("id").unwrap_or_default();
            match (tag.name.as_str(), id) {
                ("p", "reason") => page.reason = Some(text_until(&html[at..], "</p")),
                ("code", "totp-secret") => page.totp_secret = Some(text_until(&html[at..], "</code")),
                ("a", "profile") => page.profile = tag.get("href").map(str::to_owned),
                ("form", _) => page.forms.push(Form {
                    method: tag.get("method").unwrap_or("get").to_lowercase(),
                    action: tag.get("action").unwrap_or_default().to_owned(),
                    fields: Vec::new(),
                }),
                ("select", _) => select = Some(tag.field("select")),
                ("option", _) => {
                    if let Some(select) = &mut select {
                        let text = text_until(&html[at..], "<");
                        let value = tag.get("value").map_or(text, str::to_owned);
                        if tag.get("selected").is_some() || select.options.is_empty() {
                            select.value = value.clone();
                        }
                        select.options.push(value);
                    }
                }
                ("/select", _) => {
                    if let (Some(select), Some(form)) = (select.take(), page.forms.last_mut()) {
                        form.fields.push(select);
                    }
                }
                ("input" | "button" | "textarea", _) => {
                    if let Some(form) = page.forms.last_mut()
                        && tag.get("name").is_some()
                    {
                        form.fields.push(tag.field(if tag.name == "button" { "submit" } else { "text" }));
                    }
                }
                _ => {}
            }
        }
        page
    }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn read(text: &str) -> Self {
        let text = text.trim().trim_end_matches('/');
        let at = text.find(char::is_whitespace).unwrap_or(text.len());
        let (name, mut rest) = text.split_at(at);
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            let Some(end) = rest.find(|c: char| c == '=' || c.is_whitespace()) else {
                if !rest.is_empty() {
                    attributes.push((rest.to_lowercase(), String::new()));
                }
                break;
            };
            let key = rest[..end].to_lowercase();
            rest = rest[end..].trim_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
                let (start, end) = match quote {
                    Some(quote) => (1, after[1..].find(quote).map_or(after.len(), |found| found + 1)),
                    None => (0, after.find(char::is_whitespace).unwrap_or(after.len())),
                };
                value = &after[start..end];
                rest = &after[(end + start).min(after.len())..];
            }
            attributes.push((key, unescape(value)));
        }
        Tag { name: name.to_lowercase(), attributes }
    }
    fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
    fn field(&self, kind: &str) -> Field {
        Field {
            name: self.get("name").unwrap_or_default().to_owned(),
            kind: if kind == "select" { kind } else { self.get("type").unwrap_or(kind) }.to_lowercase(),
            value: self.get("value").unwrap_or_default().to_owned(),
            options: Vec::new(),
            checked: self.get("checked").is_some(),
        }
    }
}

fn end_of_tag(html: &str, open: usize) -> Option<usize> {
    let mut quote = None;
    for (at, c) in html[open..].char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, '>') => return Some(open + at),
            _ => {}
        }
    }
    None
}

fn text_until(html: &str, end: &str) -> String {
    let inner = &html[..html.find(end).unwrap_or(html.len())];
    let mut text = String::new();
    let mut inside = false;
    for c in inner.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    unescape(text.split_whitespace().collect::<Vec<_>>().join(" ").as_str())
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end < 12);
        let entity = end.map(|end| &rest[1..end]);
        let number = entity.and_then(|entity| entity.strip_prefix('#')).and_then(|number| {
            match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => number.parse().ok(),
            }
        });
        let c = match entity {
            Some("amp") => Some('&'),
            Some("lt") => Some('<'),
            Some("gt") => Some('>'),
            Some("quot") => Some('"'),
            Some("apos") => Some('\''),
            Some("nbsp") => Some(' '),
            _ => number.and_then(char::from_u32),
        };
        match (c, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_page_is_read() {
        let page = Page::read(
            r#"<!doctype html><p id="reason">Wrong <b>name</b> or&#x20;password &amp; so on</p>
            <form method="post" action="/enroll?x=1&amp;y=2"><input type=hidden name='flow' value="a&quot;b">
            <input name="username"><input type="checkbox" name="accept" value="yes" required>
            <select name="platform"><option value="ios" selected>iPhone<option value="mac">Mac</select>
            <button name="go" value="1">Go</button></form><a class="b" id="profile" href="/p?t=1">Get</a>
            <code id="totp-secret">ABC</code>"#,
        );
        assert_eq!(page.reason.as_deref(), Some("Wrong name or password & so on"));
        assert_eq!(page.profile.as_deref(), Some("/p?t=1"));
        assert_eq!(page.totp_secret.as_deref(), Some("ABC"));
        let form = &page.forms[0];
        assert_eq!((form.method.as_str(), form.action.as_str()), ("post", "/enroll?x=1&y=2"));
        assert_eq!(form.field("flow").unwrap().value, "a\"b");
        assert_eq!(form.field("platform").unwrap().options, ["ios", "mac"]);
        assert_eq!(form.field("platform").unwrap().value, "ios");
        assert_eq!(form.fields.len(), 5);
    }
}
