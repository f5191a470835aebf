//! The JSON guard of the API: what ordinary parsers let pass and two readers could read differently
//! is refused here. Repeated keys, nesting deeper than 64, numbers that do not fit, lone surrogates, NUL.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects within each other.
const MAX_DEPTH: usize = 64;

/// Reads one JSON value from bytes, or says why not.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    // Windows PowerShell begins files with a byte order mark (RFC 8259 section 8.1 lets readers ignore it).
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if too_deep(bytes) {
        return Err(format!("the JSON body is nested deeper than {MAX_DEPTH} levels"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        Strict.deserialize(&mut deserializer).map_err(|error| format!("the body is not acceptable JSON: {error}"))?;
    deserializer.end().map_err(|_| "the body goes on behind its JSON value".to_owned())?;
    Ok(value)
}

/// Counts brackets outside strings before any recursive reader sees the text.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }
    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        // PostgreSQL's text has no NUL, and programs in C end there.
        match value.contains('\0') {
            true => Err(E::custom("a text contains the character U+0000")),
            false => Ok(Value::String(value)),
        }
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Strict)?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("the key '{key}' stands twice in one object")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e8_json_that_two_readers_read_differently_is_refused() {
        assert!(parse(br#"{"role": "readonly", "role": "owner"}"#).unwrap_err().contains("'role' stands twice"));
        assert!(parse(br#"{"a": [{"b": 1, "b": 1}]}"#).is_err());
        assert!(parse(b"1e400").is_err());
        assert!(parse(br#""\ud800""#).is_err());
        assert!(parse(br#"{"a": "b\u0000c"}"#).unwrap_err().contains("U+0000"));
        assert!(parse(b"\xef\xbb\xbf{}").is_ok(), "a byte order mark is no part of the text");
        assert!(parse(br#"{"a": 1} {"b": 2}"#).is_err());
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(deep(64).as_bytes()).is_ok());
        assert!(parse(deep(65).as_bytes()).unwrap_err().contains("64"));
        assert!(parse(format!("\"{}\"", "[".repeat(100)).as_bytes()).is_ok(), "brackets in a string do not nest");
    }

    #[test]
    fn e8_names_stay_as_received() {
        let name = "p\u{430}ypal \u{202e}\u{1f600} e\u{301}";
        let body = serde_json::to_vec(&serde_json::json!({ "displayName": name })).unwrap();
        assert_eq!(parse(&body).unwrap()["displayName"], name);
    }
}
