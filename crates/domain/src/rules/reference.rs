//! A second evaluator, written apart from the first: it walks a tree that tests make themselves, writes
//! it down as a rule in many spellings, and answers naively. Slow and obvious.

use proptest::prelude::*;

/// One condition as a test means it.
#[derive(Clone, Debug)]
pub enum Meant {
    And(Box<Meant>, Box<Meant>),
    Or(Box<Meant>, Box<Meant>),
    Not(Box<Meant>),
    /// Property, operator, texts (one, or several for lists).
    Text(&'static str, &'static str, Vec<String>),
    Null(&'static str, bool),
    Flag(&'static str, bool, bool),
    /// Collection, all, a condition on `_`.
    Each(&'static str, bool, Box<Meant>),
}

/// What a test knows of a person.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub department: String,
    pub city: String,
    pub enabled: Option<bool>,
    pub mails: Vec<String>,
}

impl Person {
    fn text(&self, property: &str, element: Option<&str>) -> Vec<String> {
        let one = match property {
            "_" => element.unwrap_or_default(),
            "user.department" => &self.department,
            "user.city" => &self.city,
            _ => return self.mails.clone(),
        };
        if one.is_empty() { vec![] } else { vec![one.to_owned()] }
    }

    /// The naive answer.
    pub fn is(&self, meant: &Meant, element: Option<&str>) -> bool {
        match meant {
            Meant::And(a, b) => self.is(a, element) && self.is(b, element),
            Meant::Or(a, b) => self.is(a, element) || self.is(b, element),
            Meant::Not(a) => !self.is(a, element),
            Meant::Null(property, equal) => self.text(property, element).is_empty() == *equal,
            Meant::Flag(_, equal, wanted) => (self.enabled == Some(*wanted)) == *equal,
            Meant::Each(_, true, inner) => !self.mails.iter().any(|mail| !self.is(inner, Some(mail))),
            Meant::Each(_, false, inner) => self.mails.iter().any(|mail| self.is(inner, Some(mail))),
            Meant::Text(property, operator, wanted) => {
                let (positive, turn) = match *operator {
                    "ne" => ("eq", true),
                    "notIn" => ("in", true),
                    "notStartsWith" => ("startsWith", true),
                    "notContains" => ("contains", true),
                    "notMatch" => ("match", true),
                    other => (other, false),
                };
                let mut found = false;
                for text in self.text(property, element) {
                    let text: Vec<char> = text.to_lowercase().chars().collect();
                    for wanted in wanted {
                        let wanted: Vec<char> = wanted.to_lowercase().chars().collect();
                        found |= match positive {
                            "eq" | "in" => text == wanted,
                            "startsWith" => text.len() >= wanted.len() && text[..wanted.len()] == wanted[..],
                            "contains" => (0..=text.len()).any(|i| text[i..].starts_with(&wanted)),
                            _ => like(&text, &wanted),
                        };
                    }
                }
                found != turn
            }
        }
    }
}

/// Patterns of letters, `.` and `.*`, from the start on.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => true,
        ['.', '*', rest @ ..] => (0..=text.len()).any(|i| like(&text[i..], rest)),
        ['.', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}

/// Spells words in one of the allowed ways, driven by a stream of choices.
pub struct Spelling<'a>(pub std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Spelling<'_> {
    fn choice(&mut self, of: u8) -> u8 {
        self.0.next().copied().unwrap_or(0) % of
    }
    fn word(&mut self, word: &str) -> String {
        let word = match self.choice(3) {
            0 => word.to_owned(),
            1 => word.to_uppercase(),
            _ => word.to_lowercase(),
        };
        if self.choice(3) == 0 { word } else { format!("-{word}") }
    }
    fn name(&mut self, name: &str) -> String {
        if self.choice(3) == 0 { name.to_uppercase() } else { name.to_owned() }
    }
    fn quoted(&mut self, text: &str) -> String {
        if self.choice(2) == 0 {
            format!("\"{}\"", text.replace('`', "``").replace('"', "`\"").replace('\'', "''"))
        } else {
            format!("'{}'", text.replace('`', "``").replace('\'', "''"))
        }
    }

    /// The condition as a rule. `within` is how tight what stands around it binds: 0 or, 1 and, 2 not.
    pub fn rule(&mut self, meant: &Meant, within: u8) -> String {
        let (tight, text) = match meant {
            Meant::Or(a, b) => (0, format!("{} {} {}", self.rule(a, 0), self.word("or"), self.rule(b, 0))),
            Meant::And(a, b) => (1, format!("{} {} {}", self.rule(a, 1), self.word("and"), self.rule(b, 1))),
            Meant::Not(a) => (2, format!("{} {}", self.word("not"), self.rule(a, 2))),
            Meant::Null(property, equal) => {
                let null = if self.choice(2) == 0 { "null" } else { "$NULL" };
                (3, format!("{} {} {null}", self.name(property), self.word(if *equal { "eq" } else { "ne" })))
            }
            Meant::Flag(property, equal, wanted) => {
                let operator = self.word(if *equal { "eq" } else { "ne" });
                (3, format!("{} {operator} {wanted}", self.name(property)))
            }
            Meant::Text(property, operator, wanted) => {
                let texts: Vec<String> = wanted.iter().map(|text| self.quoted(text)).collect();
                let value = match *operator {
                    "in" | "notIn" => format!("[{}]", texts.join(" , ")),
                    _ => texts[0].clone(),
                };
                (3, format!("{} {} {value}", self.name(property), self.word(operator)))
            }
            Meant::Each(property, all, inner) => {
                let word = self.word(if *all { "all" } else { "any" });
                (3, format!("{} {word} ({})", self.name(property), self.rule(inner, 0)))
            }
        };
        if tight < within || self.choice(4) == 0 { format!("( {text} )") } else { text }
    }
}

fn letters() -> impl Strategy<Value = String> {
    "[aAbBäÄ'`\"]{1,3}"
}

fn pattern() -> impl Strategy<Value = String> {
    "(a|B|\\.|\\.\\*){1,4}"
}

fn on(properties: &'static [&'static str]) -> impl Strategy<Value = Meant> {
    let one = prop::sample::select(vec!["eq", "ne", "startsWith", "notStartsWith", "contains", "notContains"]);
    prop_oneof![
        4 => (prop::sample::select(properties), one, letters()).prop_map(|(p, o, t)| Meant::Text(p, o, vec![t])),
        1 => (prop::sample::select(properties), prop::sample::select(vec!["match", "notMatch"]), pattern())
            .prop_map(|(p, o, t)| Meant::Text(p, o, vec![t])),
        1 => (prop::sample::select(properties), prop::sample::select(vec!["in", "notIn"]), prop::collection::vec(letters(), 1..4))
            .prop_map(|(p, o, t)| Meant::Text(p, o, t)),
    ]
}

fn grown(leaf: impl Strategy<Value = Meant> + 'static) -> impl Strategy<Value = Meant> {
    leaf.prop_recursive(4, 12, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| Meant::And(Box::new(a), Box::new(b))),
            pair.prop_map(|(a, b)| Meant::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| Meant::Not(Box::new(a))),
        ]
    })
}

/// Any condition on a person.
pub fn any_meant() -> impl Strategy<Value = Meant> {
    let each = (any::<bool>(), grown(on(&["_"])))
        .prop_map(|(all, inner)| Meant::Each("user.otherMails", all, Box::new(inner)));
    let null = (prop::sample::select(vec!["user.city", "user.otherMails"]), any::<bool>())
        .prop_map(|(property, equal)| Meant::Null(property, equal));
    let flag = (any::<bool>(), any::<bool>()).prop_map(|(e, w)| Meant::Flag("user.accountEnabled", e, w));
    grown(prop_oneof![
        6 => on(&["user.department", "user.city", "user.otherMails"]),
        1 => null,
        1 => flag,
        2 => each,
    ])
}

/// Any person, of few letters so that conditions hold often.
pub fn any_person() -> impl Strategy<Value = Person> {
    let text = "[aAbBäÄ'`\"]{0,3}";
    (text, text, any::<Option<bool>>(), prop::collection::vec("[aAbB'`\"]{1,3}", 0..3))
        .prop_map(|(department, city, enabled, mails)| Person { department, city, enabled, mails })
}
