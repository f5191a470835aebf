//! How a Graph value is written into a payload key.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The ways of writing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// As it is.
    #[default]
    Same,
    /// The opposite truth value: `cameraBlocked` becomes `allowCamera`.
    Not,
    /// A fixed value whenever the setting is configured.
    Constant(Value),
    /// By word; a word that is not listed is not sent.
    Words(BTreeMap<String, Value>),
    /// A number times a factor.
    Times(i64),
    /// A list of dictionaries with other key names.
    Items(BTreeMap<String, ItemKey>),
    /// One key's value out of each dictionary of a list.
    Pick(String),
    /// Icons of a home screen: apps and folders.
    HomeScreen,
    /// Pages of a home screen.
    HomeScreenPages,
}

/// Where a property of a list item goes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ItemKey {
    /// Under this key, as it is.
    Same(String),
    /// Under this key, by word.
    Words {
        /// The key.
        key: String,
        /// Word to value.
        words: BTreeMap<String, Value>,
    },
}

impl Form {
    /// Writes; `None` where the value says nothing to this key.
    pub fn write(&self, value: &Value) -> Option<Value> {
        match self {
            Form::Same => Some(value.clone()),
            Form::Not => Some(Value::Bool(!value.as_bool()?)),
            Form::Constant(constant) => Some(constant.clone()),
            Form::Words(words) => words.get(value.as_str()?).cloned(),
            Form::Times(factor) => Some(Value::from(value.as_i64()?.checked_mul(*factor)?)),
            Form::Pick(name) => {
                let picked: Vec<Value> = value
                    .as_array()?
                    .iter()
                    .filter_map(|item| item.get(name))
                    .filter(|value| value.as_str().is_some_and(|text| !text.is_empty()))
                    .cloned()
                    .collect();
                (!picked.is_empty()).then_some(Value::Array(picked))
            }
            Form::HomeScreen => icons(value, true),
            Form::HomeScreenPages => {
                let pages = value.as_array()?.iter().filter_map(|page| icons(page.get("icons")?, true));
                Some(Value::Array(pages.collect()))
            }
            Form::Items(keys) => {
                let items = value.as_array()?.iter().filter_map(Value::as_object).map(|item| write_item(keys, item));
                Some(Value::Array(items.collect()))
            }
        }
    }
}

/// Graph's home screen items: an app has a bundle id, a folder has pages of apps.
fn icons(list: &Value, folders: bool) -> Option<Value> {
    let icons = list.as_array()?.iter().filter_map(|icon| {
        let mut written = Map::new();
        if let Some(bundle) = icon.get("bundleID").and_then(Value::as_str) {
            written.insert("Type".to_owned(), "App".into());
            written.insert("BundleID".to_owned(), bundle.into());
        } else {
            let pages = icon.get("pages").and_then(Value::as_array).filter(|_| folders)?;
            let pages: Vec<Value> = pages.iter().filter_map(|page| icons(page.get("apps")?, false)).collect();
            written.insert("Type".to_owned(), "Folder".into());
            written.insert("DisplayName".to_owned(), icon.get("displayName")?.clone());
            written.insert("Pages".to_owned(), Value::Array(pages));
        }
        Some(Value::Object(written))
    });
    Some(Value::Array(icons.collect()))
}

fn write_item(keys: &BTreeMap<String, ItemKey>, item: &Map<String, Value>) -> Value {
    let mut written = Map::new();
    for (name, to) in keys {
        let Some(value) = item.get(name).filter(|value| !value.is_null()) else { continue };
        match to {
            ItemKey::Same(key) => {
                written.insert(key.clone(), value.clone());
            }
            ItemKey::Words { key, words } => {
                if let Some(word) = value.as_str().and_then(|word| words.get(word)) {
                    written.insert(key.clone(), word.clone());
                }
            }
        }
    }
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn not_turns_and_refuses_what_is_no_truth_value() {
        assert_eq!(Form::Not.write(&json!(true)), Some(json!(false)));
        assert_eq!(Form::Not.write(&json!("yes")), None);
    }

    #[test]
    fn a_word_that_is_not_listed_is_not_sent() {
        let words = Form::Words(BTreeMap::from([("alphanumeric".to_owned(), json!(true))]));
        assert_eq!(words.write(&json!("alphanumeric")), Some(json!(true)));
        assert_eq!(words.write(&json!("numeric")), None);
    }

    #[test]
    fn items_get_apple_s_key_names() {
        let form = Form::Items(BTreeMap::from([
            ("bundleID".to_owned(), ItemKey::Same("BundleIdentifier".to_owned())),
            (
                "alertType".to_owned(),
                ItemKey::Words {
                    key: "AlertType".to_owned(),
                    words: BTreeMap::from([("banner".to_owned(), json!(1))]),
                },
            ),
        ]));
        let list = json!([{"bundleID": "com.example.a", "alertType": "banner", "publisher": "x"}]);
        assert_eq!(form.write(&list), Some(json!([{"AlertType": 1, "BundleIdentifier": "com.example.a"}])));
    }
}
