//! How a Graph value is written into a payload key. Forms compose; what a list or a sentence of data
//! cannot say (home screens, privacy rules) is in [`shapes`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

mod deadline;
mod shapes;

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
    /// True where this word is among several separated by commas.
    Flag(String),
    /// Whether this word is among several separated by commas, true or false.
    Among(String),
    /// A text in capitals.
    Upper,
    /// Base64 as bytes, see [`BYTES`].
    Data,
    /// A number times a factor.
    Times(i64),
    /// The texts of a list in one text, with this between them.
    Join(String),
    /// One member of a dictionary, written by a form of its own.
    Member(Box<Member>),
    /// By the value's `@odata.type`, said without `ios` or `macOS` in front, because Graph has each of
    /// these types for both and for none; a type that is not listed is not sent.
    ByType(BTreeMap<String, Form>),
    /// A dictionary with other key names.
    Keys(BTreeMap<String, ItemKey>),
    /// A list of dictionaries with other key names.
    Items(BTreeMap<String, ItemKey>),
    /// One key's value out of each dictionary of a list.
    Pick(String),
    /// A list of keys with typed values as a dictionary. Spaces around keys and texts are not meant.
    Pairs,
    /// A list of dictionaries as a dictionary of lists.
    Grouped(Grouped),
    /// Address ranges of content caching.
    Ranges,
    /// Icons of a home screen: apps and folders.
    HomeScreen,
    /// Pages of a home screen.
    HomeScreenPages,
    /// When a system version must be there at the latest, from a whole update policy.
    UpdateDeadline,
    /// Which app may touch what on a Mac: a list of rules for each service.
    PrivacyAccess,
}

/// The only member of a dictionary that stands for bytes in logical content: their base64.
pub const BYTES: &str = "$bytes";

/// A member and its form.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// How it is written.
    #[serde(default)]
    pub form: Form,
}

/// How a list becomes a dictionary of lists.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grouped {
    /// The member whose text is the key; where it is missing the key is empty.
    pub by: String,
    /// The member whose text joins the key's list.
    pub take: String,
    /// Where the text has words separated by commas: what each is called there.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
}

/// Where a member of a dictionary goes.
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
    /// Under this key, by a form of its own.
    Formed {
        /// The key.
        key: String,
        /// How it is written.
        form: Form,
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
            Form::Flag(word) => flags(value.as_str()?).any(|flag| flag == word).then_some(Value::Bool(true)),
            Form::Among(word) => Some(Value::Bool(flags(value.as_str()?).any(|flag| flag == word))),
            Form::Upper => Some(value.as_str()?.to_uppercase().into()),
            Form::Data => {
                let text: String = value.as_str()?.split_ascii_whitespace().collect();
                Some(Value::Object(Map::from_iter([(BYTES.to_owned(), text.into())])))
            }
            Form::Times(factor) => Some(Value::from(value.as_i64()?.checked_mul(*factor)?)),
            Form::Join(between) => {
                let texts: Vec<&str> = value.as_array()?.iter().filter_map(Value::as_str).map(str::trim).collect();
                (!texts.is_empty()).then(|| texts.join(between).into())
            }
            Form::Member(member) => {
                let found = value.get(&member.name).filter(|found| says_something(found))?;
                member.form.write(found)
            }
            Form::ByType(forms) => {
                let kind = super::short(value.get("@odata.type")?.as_str()?);
                let kind = kind.strip_prefix("ios").or_else(|| kind.strip_prefix("macOS")).unwrap_or(kind);
                forms.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind))?.1.write(value)
            }
            Form::Keys(keys) => {
                let written = write_item(keys, value.as_object()?);
                (!written.is_empty()).then_some(Value::Object(written))
            }
            Form::Items(keys) => {
                let items = value.as_array()?.iter().filter_map(Value::as_object).map(|item| write_item(keys, item));
                Some(Value::Array(items.map(Value::Object).collect()))
            }
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
            Form::Pairs => shapes::pairs(value),
            Form::Grouped(grouped) => shapes::grouped(grouped, value),
            Form::Ranges => shapes::ranges(value),
            Form::HomeScreen => shapes::icons(value, true),
            Form::HomeScreenPages => {
                let pages = value.as_array()?.iter().filter_map(|page| shapes::icons(page.get("icons")?, true));
                Some(Value::Array(pages.collect()))
            }
            Form::UpdateDeadline => deadline::local_time(value.as_object()?).map(Value::String),
            Form::PrivacyAccess => shapes::privacy_access(value),
        }
    }
}

/// Words separated by commas, as Graph writes several members of an enum.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Graph fills members that nobody set with null, empty texts and empty lists.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

fn write_item(keys: &BTreeMap<String, ItemKey>, item: &Map<String, Value>) -> Map<String, Value> {
    let mut written = Map::new();
    for (name, to) in keys {
        let Some(value) = item.get(name).filter(|value| says_something(value)) else { continue };
        let (key, value) = match to {
            ItemKey::Same(key) => (key, Some(value.clone())),
            ItemKey::Words { key, words } => (key, value.as_str().and_then(|word| words.get(word)).cloned()),
            ItemKey::Formed { key, form } => (key, form.write(value)),
        };
        if let Some(value) = value {
            written.insert(key.clone(), value);
        }
    }
    written
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
    fn one_word_of_several_counts() {
        let flag = |word: &str| Form::Flag(word.to_owned());
        assert_eq!(flag("b").write(&json!("a, b")), Some(json!(true)));
        assert_eq!(flag("c").write(&json!("a,b")), None);
    }

    #[test]
    fn a_type_that_is_not_listed_is_not_sent() {
        let form = Form::ByType(BTreeMap::from([(
            "redirectSingleSignOnExtension".to_owned(),
            Form::Member(Box::new(Member { name: "urlPrefixes".to_owned(), form: Form::Same })),
        )]));
        let one = json!({ "@odata.type": "#microsoft.graph.iosRedirectSingleSignOnExtension", "urlPrefixes": ["u"] });
        assert_eq!(form.write(&one), Some(json!(["u"])));
        let none = json!({ "@odata.type": "#microsoft.graph.iosRedirectSingleSignOnExtension", "urlPrefixes": [] });
        assert_eq!(form.write(&none), None, "an empty list is not configured");
        let other = json!({ "@odata.type": "#microsoft.graph.iosKerberosSingleSignOnExtension", "urlPrefixes": ["u"] });
        assert_eq!(form.write(&other), None);
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
