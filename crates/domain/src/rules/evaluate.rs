//! A rule that was read, and what it says of one subject.

use regex::Regex;

use super::{Facts, Known};
use crate::catalogue::Version;

/// A rule ready to be evaluated. Its depth is bounded by the parser.
#[derive(Clone, Debug)]
pub struct Rule(pub(super) Node);

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// All of these; of nothing, true.
    All(Vec<Node>),
    /// One of these.
    Any(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// A comparison; on several texts, one that satisfies it is enough.
    Is(Operand, Test),
    /// A condition on each element of a property: one or, with `all`, every one satisfies it.
    Each { of: &'static str, all: bool, inner: Box<Node> },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Property(&'static str),
    /// `_` within `-any` and `-all`.
    Element,
}

/// One comparison, its texts in lower case. Operators that say "not" are the negation of the other.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Null,
    Flag(bool),
    Equals(String),
    Starts(String),
    Contains(String),
    Matches(Regex),
    In(Vec<String>),
    Version(Order, Version),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Eq,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Rule {
    /// Says whether the rule holds.
    pub fn matches(&self, facts: &Facts) -> bool {
        holds(&self.0, facts, None)
    }
}

fn holds(node: &Node, facts: &Facts, element: Option<&str>) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| holds(node, facts, element)),
        Node::Any(nodes) => nodes.iter().any(|node| holds(node, facts, element)),
        Node::Not(node) => !holds(node, facts, element),
        Node::Is(Operand::Element, test) => match (test, element) {
            (Test::Null, text) => text.is_none(),
            (test, Some(text)) => test.on(text),
            (_, None) => false,
        },
        Node::Is(Operand::Property(property), test) => match (test, facts.get(property)) {
            (Test::Null, known) => known.is_none(),
            (_, None) => false,
            (Test::Flag(wanted), Some(Known::Flag(flag))) => wanted == flag,
            (test, Some(Known::Text(text))) => test.on(text),
            (test, Some(Known::Texts(texts))) => texts.iter().any(|text| test.on(text)),
            (_, Some(Known::Flag(_))) => false,
        },
        Node::Each { of, all, inner } => {
            let one = |text: &String| holds(inner, facts, Some(text));
            match facts.get(of) {
                Some(Known::Texts(texts)) if *all => texts.iter().all(one),
                Some(Known::Texts(texts)) => texts.iter().any(one),
                _ => *all,
            }
        }
    }
}

impl Test {
    /// On a text in lower case.
    fn on(&self, text: &str) -> bool {
        match self {
            Test::Null | Test::Flag(_) => false,
            Test::Equals(wanted) => text == wanted,
            Test::Starts(start) => text.starts_with(start.as_str()),
            Test::Contains(part) => text.contains(part.as_str()),
            Test::Matches(pattern) => pattern.is_match(text),
            Test::In(list) => list.iter().any(|wanted| wanted == text),
            Test::Version(order, wanted) => {
                let Ok(version) = text.parse::<Version>() else { return false };
                match order {
                    Order::Eq => version == *wanted,
                    Order::Gt => version > *wanted,
                    Order::Ge => version >= *wanted,
                    Order::Lt => version < *wanted,
                    Order::Le => version <= *wanted,
                }
            }
        }
    }
}
