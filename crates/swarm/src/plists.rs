//! Property lists as a device reads and writes them: small accessors over `plist::Dictionary`.

use plist::{Dictionary, Value};

/// A document that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Reads an XML property list whose root is a dictionary.
pub fn read(bytes: &[u8]) -> Result<Dictionary, Malformed> {
    match Value::from_reader_xml(bytes) {
        Ok(Value::Dictionary(dictionary)) => Ok(dictionary),
        Ok(_) => Err(Malformed("the root of the property list is no dictionary".into())),
        Err(error) => Err(Malformed(format!("no property list: {error}"))),
    }
}

/// Writes an XML property list.
pub fn write(dictionary: &Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    Value::Dictionary(dictionary.clone()).to_writer_xml(&mut bytes).expect("writing to memory does not fail");
    bytes
}

/// Reading keys of a dictionary.
pub trait Keys {
    /// A string.
    fn text(&self, key: &str) -> Option<&str>;
    /// A string that must be there.
    fn need(&self, key: &str) -> Result<&str, Malformed>;
    /// A boolean, false when absent.
    fn flag(&self, key: &str) -> bool;
    /// An integer.
    fn integer(&self, key: &str) -> Option<i64>;
    /// Raw bytes.
    fn data(&self, key: &str) -> Option<&[u8]>;
    /// A dictionary.
    fn dictionary(&self, key: &str) -> Option<&Dictionary>;
    /// The elements of an array, none when absent.
    fn array(&self, key: &str) -> &[Value];
    /// The strings of an array.
    fn texts(&self, key: &str) -> Vec<String> {
        self.array(key).iter().filter_map(|value| value.as_string().map(str::to_owned)).collect()
    }
    /// The dictionaries of an array.
    fn dictionaries(&self, key: &str) -> Vec<&Dictionary> {
        self.array(key).iter().filter_map(Value::as_dictionary).collect()
    }
}

impl Keys for Dictionary {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_string()
    }
    fn need(&self, key: &str) -> Result<&str, Malformed> {
        self.text(key).filter(|text| !text.is_empty()).ok_or_else(|| Malformed(format!("{key} is missing")))
    }
    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_boolean).unwrap_or(false)
    }
    fn integer(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_signed_integer()
    }
    fn data(&self, key: &str) -> Option<&[u8]> {
        self.get(key)?.as_data()
    }
    fn dictionary(&self, key: &str) -> Option<&Dictionary> {
        self.get(key)?.as_dictionary()
    }
    fn array(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// A dictionary from pairs, without the absent ones.
pub fn dictionary<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Dictionary {
    let mut dictionary = Dictionary::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            dictionary.insert(key.to_owned(), value);
        }
    }
    dictionary
}
