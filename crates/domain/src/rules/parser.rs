//! From words to a rule: a descent whose depth is counted, checked against a vocabulary on the way.

use regex::RegexBuilder;

use super::{
    MAX_DEPTH, MAX_PATTERNS, Rule, RuleError,
    evaluate::{Node, Operand, Order, Test},
    vocabulary::{Kind, Operator, Property, Vocabulary},
    words::{Placed, Word},
};
use crate::catalogue::Version;

/// Most memory of a compiled pattern, bytes.
const PATTERN_SIZE: usize = 256 * 1024;
/// Characters of a wrong word that an error repeats.
const NAME_SHOWN: usize = 40;

/// Reads a whole rule that ends before the character `end`. `platform` narrows the properties of a filter.
pub(super) fn parse(
    (words, end): (Vec<Placed>, usize),
    vocabulary: &'static Vocabulary,
    platform: Option<&str>,
) -> Result<Rule, RuleError> {
    if words.is_empty() {
        return Err(RuleError::new(1, format!("expected a rule such as {}", example(vocabulary))));
    }
    let mut parser = Parser { words, at: 0, end, vocabulary, platform, element: false, depth: 0, patterns: 0 };
    let node = parser.either()?;
    match parser.peek() {
        None => Ok(Rule(node)),
        Some(Word::Close) => Err(parser.wrong("there is no opening parenthesis for this one")),
        Some(_) => Err(parser.wrong("expected -and, -or or the end of the rule")),
    }
}

fn example(vocabulary: &Vocabulary) -> &'static str {
    match vocabulary.subject {
        "user" => "user.department -eq \"Sales\"",
        "app" => "(app.appVersion -startsWith \"1.\")",
        _ => "(device.deviceCategory -eq \"Kiosk\")",
    }
}

struct Parser<'a> {
    words: Vec<Placed>,
    at: usize,
    /// The character behind the last word.
    end: usize,
    vocabulary: &'static Vocabulary,
    platform: Option<&'a str>,
    /// Within `-any` or `-all`, where `_` is the element.
    element: bool,
    depth: usize,
    patterns: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at).map(|placed| &placed.word)
    }
    fn place(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |placed| placed.at)
    }
    fn wrong(&self, message: impl Into<String>) -> RuleError {
        RuleError::new(self.place(), message)
    }
    /// The next name, in lower case and without hyphen.
    fn keyword(&self) -> Option<String> {
        match self.peek() {
            Some(Word::Name(name)) => Some(name.strip_prefix('-').unwrap_or(name).to_ascii_lowercase()),
            _ => None,
        }
    }
    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.keyword().is_some_and(|name| name == word);
        self.at += usize::from(found);
        found
    }
    fn deeper(&mut self) -> Result<(), RuleError> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(format!("a rule has at most {MAX_DEPTH} levels of parentheses and -not")));
        }
        self.depth += 1;
        Ok(())
    }

    fn either(&mut self) -> Result<Node, RuleError> {
        let mut nodes = vec![self.both()?];
        while self.take_keyword("or") {
            nodes.push(self.both()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn both(&mut self) -> Result<Node, RuleError> {
        let mut nodes = vec![self.negated()?];
        while self.take_keyword("and") {
            nodes.push(self.negated()?);
        }
        Ok(one_or(nodes, Node::All))
    }

    fn negated(&mut self) -> Result<Node, RuleError> {
        if self.keyword().is_some_and(|word| word == "not") {
            if !self.vocabulary.whole_grammar {
                return Err(self.wrong("filters have no -not; use -ne, -notContains or -notIn"));
            }
            self.deeper()?;
            self.at += 1;
            let node = self.negated()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(node)));
        }
        if self.peek() == Some(&Word::Open) {
            return self.parenthesised();
        }
        self.comparison()
    }

    fn parenthesised(&mut self) -> Result<Node, RuleError> {
        self.deeper()?;
        let opened = self.place();
        self.at += 1;
        let node = self.either()?;
        match self.peek() {
            Some(Word::Close) => self.at += 1,
            None => return Err(RuleError::new(opened, "this parenthesis is never closed")),
            Some(_) => return Err(self.wrong("expected -and, -or or a closing parenthesis")),
        }
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, RuleError> {
        if self.element {
            if !matches!(self.peek(), Some(Word::Name(name)) if name == "_") {
                return Err(self.wrong("expected _, the element of the collection, such as (_ -contains \"x\")"));
            }
            self.at += 1;
            return self.compared(Operand::Element, Kind::Text, super::vocabulary::TEXT);
        }
        let property = self.property()?;
        if let (Kind::Texts, true, Some(word)) = (property.kind, self.vocabulary.whole_grammar, self.keyword())
            && (word == "any" || word == "all")
        {
            self.at += 1;
            self.deeper()?;
            self.element = true;
            let inner = match self.peek() {
                Some(Word::Open) => self.parenthesised()?,
                _ => self.comparison()?,
            };
            self.element = false;
            self.depth -= 1;
            return Ok(Node::Each { of: property.name, all: word == "all", inner: Box::new(inner) });
        }
        self.compared(Operand::Property(property.name), property.kind, property.operators)
    }

    fn property(&mut self) -> Result<&'static Property, RuleError> {
        let subject = self.vocabulary.subject;
        let expected = || format!("expected a property such as {}", example(self.vocabulary));
        let Some(Word::Name(name)) = self.peek() else { return Err(self.wrong(expected())) };
        let Some((prefix, bare)) = name.split_once('.') else {
            return Err(self.wrong(match name.eq_ignore_ascii_case("direct") {
                true => "rules on direct reports are not supported".to_owned(),
                false => expected(),
            }));
        };
        let shown: String = name.chars().take(NAME_SHOWN).collect();
        if !prefix.eq_ignore_ascii_case(subject) {
            let other = ["user", "device", "app"].iter().any(|known| known.eq_ignore_ascii_case(prefix));
            return Err(self.wrong(match other {
                true => format!("this rule is about {subject}.*; {shown} cannot stand in it"),
                false => expected(),
            }));
        }
        let found = self.vocabulary.property(bare).ok_or_else(|| {
            let names: Vec<&str> = self.vocabulary.properties.iter().map(|property| property.name).collect();
            self.wrong(match bare.to_ascii_lowercase().as_str() {
                "memberof" | "assignedplans" => format!("rules on {shown} are not supported"),
                _ => format!("there is no property {shown}; known behind {subject}.: {}", names.join(", ")),
            })
        })?;
        if let Some(platform) = self.platform
            && !found.platforms.is_empty()
            && !found.platforms.contains(&platform)
        {
            return Err(self.wrong(format!("filters for {platform} have no {shown}")));
        }
        self.at += 1;
        Ok(found)
    }

    /// Operator and value behind a property.
    fn compared(&mut self, operand: Operand, kind: Kind, operators: &[Operator]) -> Result<Node, RuleError> {
        let expected = || {
            let words: Vec<String> = operators.iter().map(|operator| format!("-{}", operator.word())).collect();
            words.join(", ")
        };
        let Some(Word::Name(word)) = self.peek() else {
            return Err(self.wrong(format!("expected an operator such as {}", expected())));
        };
        let shown: String = word.chars().take(NAME_SHOWN).collect();
        let Some(operator) = Operator::of(word) else {
            return Err(self.wrong(format!("expected an operator such as {}; found {shown}", expected())));
        };
        if !operators.contains(&operator) {
            return Err(self.wrong(format!("this property takes {}; not {shown}", expected())));
        }
        self.at += 1;
        let (negated, test) = self.value(operator, kind)?;
        let node = Node::Is(operand, test);
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    /// The value behind an operator: whether the test is negated, and the test.
    fn value(&mut self, operator: Operator, kind: Kind) -> Result<(bool, Test), RuleError> {
        use Operator as O;
        let negated = matches!(operator, O::Ne | O::NotStartsWith | O::NotContains | O::NotMatch | O::NotIn);
        if matches!(operator, O::In | O::NotIn) {
            return Ok((negated, Test::In(self.list(kind)?)));
        }
        let equality = matches!(operator, O::Eq | O::Ne);
        let null = self.keyword().is_some_and(|word| word == "null" || word == "$null");
        if null {
            if !equality {
                return Err(self.wrong("null can only be compared with -eq and -ne"));
            }
            self.at += 1;
            return Ok((negated, Test::Null));
        }
        let place = self.place();
        if kind == Kind::Flag {
            let word = match self.peek() {
                Some(Word::Text(text)) => Some(text.to_ascii_lowercase()),
                _ => self.keyword(),
            };
            let flag = match word.as_deref() {
                Some("true") => true,
                Some("false") => false,
                _ => return Err(self.wrong("expected true or false")),
            };
            self.at += 1;
            return Ok((negated, Test::Flag(flag)));
        }
        let text = self.text(kind)?;
        if kind == Kind::Version {
            let version = version(&text).ok_or_else(|| {
                RuleError::new(place, "expected a version such as \"17.2.1\", up to four numbers with dots")
            })?;
            let order = match operator {
                O::Gt => Order::Gt,
                O::Ge => Order::Ge,
                O::Lt => Order::Lt,
                O::Le => Order::Le,
                _ => Order::Eq,
            };
            return Ok((negated, Test::Version(order, version)));
        }
        let folded = text.to_lowercase();
        Ok((
            negated,
            match operator {
                O::StartsWith | O::NotStartsWith => Test::Starts(folded),
                O::Contains | O::NotContains => Test::Contains(folded),
                O::Match | O::NotMatch => Test::Matches(self.pattern(&text, place)?),
                // An empty text is stored as nothing.
                _ if folded.is_empty() => Test::Null,
                _ => {
                    choice(kind, &text, place)?;
                    Test::Equals(folded)
                }
            },
        ))
    }

    fn text(&mut self, kind: Kind) -> Result<String, RuleError> {
        let text = match self.peek() {
            Some(Word::Text(text)) => text.clone(),
            // True and False of a choice may stand without quotes.
            Some(Word::Name(name)) if matches!(kind, Kind::Choice(_)) && is_flag(name) => name.clone(),
            Some(Word::Name(name)) => {
                let shown: String = name.chars().take(NAME_SHOWN).collect();
                return Err(self.wrong(format!("expected a text in quotes, such as \"{shown}\"")));
            }
            Some(Word::ListOpen) => return Err(self.wrong("a list can only stand behind -in and -notIn")),
            _ => return Err(self.wrong("expected a value in quotes")),
        };
        self.at += 1;
        Ok(text)
    }

    fn list(&mut self, kind: Kind) -> Result<Vec<String>, RuleError> {
        if self.peek() != Some(&Word::ListOpen) {
            return Err(self.wrong("expected a list such as [\"a\", \"b\"]"));
        }
        self.at += 1;
        let mut texts = Vec::new();
        loop {
            let place = self.place();
            let text = self.text(kind)?;
            choice(kind, &text, place)?;
            texts.push(text.to_lowercase());
            match self.peek() {
                Some(Word::Comma) => self.at += 1,
                Some(Word::ListClose) => {
                    self.at += 1;
                    return Ok(texts);
                }
                _ => return Err(self.wrong("expected a comma or the end of the list, ]")),
            }
        }
    }

    /// A pattern that matches from the start of the text on.
    fn pattern(&mut self, text: &str, place: usize) -> Result<regex::Regex, RuleError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(RuleError::new(place, format!("a rule has at most {MAX_PATTERNS} patterns")));
        }
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(PATTERN_SIZE)
                .dfa_size_limit(PATTERN_SIZE)
                .nest_limit(50)
                .build()
        };
        // Alone first: what closes a group of its own does not close ours.
        build(text).and_then(|_| build(&format!("^(?:{text})"))).map_err(|error| {
            RuleError::new(
                place,
                match error {
                    regex::Error::CompiledTooBig(_) => "this pattern is too large; make its repetitions smaller".into(),
                    other => format!("this pattern is no regular expression: {}", cause(&other)),
                },
            )
        })
    }
}

/// The last line of an error about a pattern: the lines before draw the pattern.
fn cause(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn is_flag(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}

fn one_or(mut nodes: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => several(nodes),
    }
}

/// Refuses a text that the property never has.
fn choice(kind: Kind, text: &str, place: usize) -> Result<(), RuleError> {
    match kind {
        Kind::Choice(words) if !words.iter().any(|word| word.to_lowercase() == text.to_lowercase()) => {
            Err(RuleError::new(place, format!("this property is one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

fn version(text: &str) -> Option<Version> {
    let parts: Vec<&str> = text.split('.').collect();
    let plain =
        parts.len() <= 4 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}
