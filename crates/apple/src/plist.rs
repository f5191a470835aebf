//! The guarded property list decoder: the only way a plist from outside comes in.
//!
//! Before the plist library sees a byte, a streaming pass checks size, nesting, number of
//! elements, markup and references. Binary lists are refused (shared children make 157 bytes
//! expand without end), document type declarations with an internal part too.
//! Apple: `man 5 plist`; XML 1.0.

pub use ::plist::{Date, Dictionary, Integer, Value};
use quick_xml::{Reader, events::Event};

/// What a list may at most be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements altogether.
    pub elements: usize,
}

impl Limits {
    /// Check-in messages, commands, enrollment documents.
    pub const MESSAGE: Limits = Limits { bytes: 1 << 20, depth: 64, elements: 50_000 };
    /// Command results: app lists of a Mac reach several megabytes.
    pub const RESULT: Limits = Limits { bytes: 10 << 20, depth: 64, elements: 50_000 };
}

/// The longest start tag that a plist has use for (`<plist version="1.0">`).
const TAG_BYTES: usize = 512;

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than allowed.
    #[error("the document has {0} bytes, {1} are allowed")]
    TooLong(usize, usize),
    /// A binary property list.
    #[error("binary property lists are not accepted")]
    Binary,
    /// Nested deeper than allowed.
    #[error("the document is nested deeper than {0} levels")]
    TooDeep(usize),
    /// More elements than allowed.
    #[error("the document has more than {0} elements")]
    TooMany(usize),
    /// Markup that a property list has no use for.
    #[error("{0} is not accepted")]
    Markup(&'static str),
    /// Not well-formed, or not a property list.
    #[error("not a property list: {0}")]
    Syntax(String),
    /// A key that must be there is not.
    #[error("the key {0} is missing")]
    Missing(String),
    /// A key has another type or value than it must have.
    #[error("the key {0} {1}")]
    Key(String, &'static str),
}

/// Decodes an XML property list within `limits`.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    if bytes.len() > limits.bytes {
        return Err(DecodeError::TooLong(bytes.len(), limits.bytes));
    }
    if bytes.starts_with(b"bplist") {
        return Err(DecodeError::Binary);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // App names with broken UTF-8 exist in the field; the rest of such a message still counts.
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') {
        return Err(DecodeError::Markup("a NUL character"));
    }
    scan(&text, limits)?;
    Value::from_reader_xml(text.as_bytes()).map_err(|error| DecodeError::Syntax(error.to_string()))
}

/// Decodes a document whose top level is a dictionary.
pub fn decode_dictionary(bytes: &[u8], limits: &Limits) -> Result<Dictionary, DecodeError> {
    decode(bytes, limits)?
        .into_dictionary()
        .ok_or_else(|| DecodeError::Syntax("the top level is not a dictionary".into()))
}

/// The streaming pass: no allocation grows with nesting, nothing is resolved.
fn scan(text: &str, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut elements, mut seen_list) = (0usize, 0usize, false);
    loop {
        let event = reader.read_event().map_err(|error| DecodeError::Syntax(error.to_string()))?;
        match event {
            Event::Start(tag) => {
                depth += 1;
                elements += 1;
                check_tag(tag.len())?;
                if depth > limits.depth {
                    return Err(DecodeError::TooDeep(limits.depth));
                }
                if depth == 1 {
                    check_root(tag.local_name().as_ref(), &mut seen_list)?;
                }
            }
            Event::Empty(tag) => {
                elements += 1;
                check_tag(tag.len())?;
                if depth == 0 {
                    check_root(tag.local_name().as_ref(), &mut seen_list)?;
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(declaration) => {
                let inner: &str = declaration.as_ref();
                if seen_list || inner.contains('[') || inner.contains("<!") || inner.len() > TAG_BYTES {
                    return Err(DecodeError::Markup("a document type declaration with content"));
                }
            }
            Event::PI(_) => return Err(DecodeError::Markup("a processing instruction")),
            Event::CData(_) => return Err(DecodeError::Markup("a CDATA section")),
            Event::GeneralRef(reference) => {
                let name: &str = reference.as_ref();
                let known = matches!(name, "amp" | "lt" | "gt" | "quot" | "apos");
                let character = matches!(reference.resolve_char_ref(), Ok(Some(c)) if c != '\0');
                if !known && !character {
                    return Err(DecodeError::Markup("an entity reference"));
                }
            }
            Event::Eof => break,
            Event::Text(_) | Event::Comment(_) | Event::Decl(_) => {}
        }
        if elements > limits.elements {
            return Err(DecodeError::TooMany(limits.elements));
        }
    }
    if depth != 0 || !seen_list {
        return Err(DecodeError::Syntax("the document ends early".into()));
    }
    Ok(())
}

fn check_tag(length: usize) -> Result<(), DecodeError> {
    if length > TAG_BYTES { Err(DecodeError::Markup("a long start tag")) } else { Ok(()) }
}

fn check_root(name: &str, seen: &mut bool) -> Result<(), DecodeError> {
    if name != "plist" || std::mem::replace(seen, true) {
        return Err(DecodeError::Syntax("the document is not one plist element".into()));
    }
    Ok(())
}

/// Encodes a list as XML.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    value.to_writer_xml(&mut bytes).expect("writing to memory cannot fail");
    bytes
}

/// Encodes a dictionary as an XML document.
pub fn encode_dictionary(dictionary: Dictionary) -> Vec<u8> {
    encode(&Value::Dictionary(dictionary))
}

/// Builds a [`Dictionary`]: `dict! { "Key" => value, "Other" => 5 }`.
#[macro_export]
macro_rules! dict {
    ($($key:expr => $value:expr),* $(,)?) => {{
        let pairs: Vec<(&str, $crate::plist::Value)> = vec![$(($key, $value.into())),*];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<$crate::plist::Dictionary>()
    }};
}

/// Puts `value` under `key`.
pub fn put(dictionary: &mut Dictionary, key: &str, value: impl Into<Value>) {
    dictionary.insert(key.to_owned(), value.into());
}

/// Puts `value` under `key` where there is one.
pub fn put_some(dictionary: &mut Dictionary, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(dictionary, key, value);
    }
}

/// Typed reading of a dictionary; a wrong type is an error that names the key.
pub trait Read {
    /// A string, if the key is there.
    fn text(&self, key: &str) -> Result<Option<String>, DecodeError>;
    /// A string.
    fn need_text(&self, key: &str) -> Result<String, DecodeError> {
        self.text(key)?.ok_or_else(|| DecodeError::Missing(key.into()))
    }
    /// Bytes, if the key is there.
    fn data(&self, key: &str) -> Result<Option<Vec<u8>>, DecodeError>;
    /// Bytes.
    fn need_data(&self, key: &str) -> Result<Vec<u8>, DecodeError> {
        self.data(key)?.ok_or_else(|| DecodeError::Missing(key.into()))
    }
    /// A boolean, if the key is there.
    fn flag(&self, key: &str) -> Result<Option<bool>, DecodeError>;
    /// A whole number, if the key is there.
    fn number(&self, key: &str) -> Result<Option<i64>, DecodeError>;
    /// A dictionary, if the key is there.
    fn dictionary(&self, key: &str) -> Result<Option<&Dictionary>, DecodeError>;
    /// An array, if the key is there.
    fn array(&self, key: &str) -> Result<Option<&Vec<Value>>, DecodeError>;
}

fn typed<'a, T>(
    dictionary: &'a Dictionary,
    key: &str,
    what: &'static str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, DecodeError> {
    match dictionary.get(key) {
        None => Ok(None),
        Some(value) => read(value).map(Some).ok_or_else(|| DecodeError::Key(key.into(), what)),
    }
}

impl Read for Dictionary {
    fn text(&self, key: &str) -> Result<Option<String>, DecodeError> {
        typed(self, key, "is not a string", |v| v.as_string().map(str::to_owned))
    }
    fn data(&self, key: &str) -> Result<Option<Vec<u8>>, DecodeError> {
        typed(self, key, "is not data", |v| v.as_data().map(<[u8]>::to_vec))
    }
    fn flag(&self, key: &str) -> Result<Option<bool>, DecodeError> {
        typed(self, key, "is not a boolean", Value::as_boolean)
    }
    fn number(&self, key: &str) -> Result<Option<i64>, DecodeError> {
        typed(self, key, "is not an integer", |v| {
            v.as_signed_integer().or_else(|| v.as_unsigned_integer().and_then(|n| i64::try_from(n).ok()))
        })
    }
    fn dictionary(&self, key: &str) -> Result<Option<&Dictionary>, DecodeError> {
        typed(self, key, "is not a dictionary", Value::as_dictionary)
    }
    fn array(&self, key: &str) -> Result<Option<&Vec<Value>>, DecodeError> {
        typed(self, key, "is not an array", Value::as_array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(body: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\">{body}</plist>").into_bytes()
    }

    fn refuse(bytes: &[u8]) -> DecodeError {
        decode(bytes, &Limits::MESSAGE).unwrap_err()
    }

    #[test]
    fn e2_deep_nesting_is_refused_before_it_overflows_a_stack() {
        let deep = list(&format!("{}{}", "<array>".repeat(4000), "</array>".repeat(4000)));
        assert_eq!(refuse(&deep), DecodeError::TooDeep(64));
        let unclosed = format!("<plist>{}", "<array>".repeat(100_000)).into_bytes();
        assert_eq!(refuse(&unclosed), DecodeError::TooDeep(64));
        let fits = list(&format!("{}{}", "<array>".repeat(63), "</array>".repeat(63)));
        assert!(decode(&fits, &Limits::MESSAGE).is_ok());
    }

    #[test]
    fn e2_a_million_elements_or_attributes_are_refused() {
        let many = list(&format!("<array>{}</array>", "<true/>".repeat(60_000)));
        assert_eq!(refuse(&many), DecodeError::TooMany(50_000));
        let attributes = format!("<plist {}><dict/></plist>", "a=\"\" ".repeat(100_000));
        assert_eq!(refuse(attributes.as_bytes()), DecodeError::Markup("a long start tag"));
        assert!(matches!(refuse(&vec![b' '; (1 << 20) + 1]), DecodeError::TooLong(..)));
    }

    /// A binary list whose arrays share their children: 26 levels of two references each.
    pub(crate) fn shared_children() -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..26u8 {
            offsets.push(bytes.len() as u8);
            bytes.extend([0xA2, level + 1, level + 1]);
        }
        offsets.push(bytes.len() as u8);
        bytes.push(0x09);
        let table = bytes.len() as u64;
        bytes.extend(&offsets);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        bytes.extend(27u64.to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        bytes
    }

    #[test]
    fn e3_binary_lists_are_refused_unread() {
        assert_eq!(refuse(&shared_children()), DecodeError::Binary);
        assert_eq!(refuse(b"bplist00"), DecodeError::Binary);
        assert_eq!(refuse(b"bplist15\xff\xff\xff\xff\xff\xff\xff\xff"), DecodeError::Binary);
    }

    #[test]
    fn e1_declarations_entities_and_instructions_are_refused() {
        let laughs = "<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\
                      <plist><string>&b;</string></plist>";
        assert!(matches!(refuse(laughs.as_bytes()), DecodeError::Markup(_)));
        let external =
            "<!DOCTYPE plist [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><plist><string>&x;</string></plist>";
        assert!(matches!(refuse(external.as_bytes()), DecodeError::Markup(_)));
        assert!(matches!(refuse(&list("<string>&x;</string>")), DecodeError::Markup(_)));
        assert!(matches!(refuse(&list("<?php x ?><true/>")), DecodeError::Markup(_)));
        assert!(matches!(refuse(&list("<string>&#0;</string>")), DecodeError::Markup(_)));
        assert!(matches!(refuse(&list("<string><![CDATA[x]]></string>")), DecodeError::Markup(_)));
    }

    #[test]
    fn what_devices_send_is_taken() {
        let apple = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                     \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\t<key>Token</key>\n\t<data>\n\t\
                     AAEC\n\tAwQ=\n\t</data>\n<key>N</key><integer>18446744073709551615</integer>\
                     <key>S</key><string>A &amp; B &#233;</string></dict>\n</plist>\n";
        let dictionary = decode_dictionary(apple.as_bytes(), &Limits::MESSAGE).unwrap();
        assert_eq!(dictionary.need_data("Token").unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(dictionary.get("N").unwrap().as_unsigned_integer(), Some(u64::MAX));
        assert_eq!(dictionary.need_text("S").unwrap(), "A & B é");
    }

    #[test]
    fn broken_utf8_in_a_name_does_not_cost_the_message() {
        let mut bytes = list("<dict><key>Name</key><string>caf@</string></dict>");
        let at = bytes.iter().position(|b| *b == b'@').unwrap();
        bytes[at] = 0xE9;
        let dictionary = decode_dictionary(&bytes, &Limits::MESSAGE).unwrap();
        assert_eq!(dictionary.need_text("Name").unwrap(), "caf\u{fffd}");
    }
}
