//! The grammar of `$filter`: text to tree, bounded in size and depth. OData 4.01 part 2 section 5.1.1.

use muster_domain::query::{Compare, Filter, Literal, Property, TextTest};

/// Longest filter in bytes, most tests in it, deepest nesting.
const MAX_BYTES: usize = 4096;
const MAX_TESTS: usize = 200;
const MAX_DEPTH: usize = 32;

/// Why a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// 400: what is wrong with the text.
    Bad(String),
    /// 501: an operator or function that is not built.
    Unsupported(String),
}

fn bad<T>(message: impl Into<String>) -> Result<T, FilterError> {
    Err(FilterError::Bad(message.into()))
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Colon,
    Slash,
    Text(String),
    Number(String),
    Word(String),
    End,
}

/// Reads a filter.
pub fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > MAX_BYTES {
        return bad(format!("$filter may have at most {MAX_BYTES} bytes"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, tests: 0, variables: Vec::new() };
    let filter = parser.or()?;
    match parser.peek() {
        Token::End => Ok(filter),
        other => bad(format!("$filter goes on with {} where it should end", shown(other))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Open => "'('".into(),
        Token::Close => "')'".into(),
        Token::Comma => "','".into(),
        Token::Colon => "':'".into(),
        Token::Slash => "'/'".into(),
        Token::Text(_) => "a text".into(),
        Token::Number(n) => n.clone(),
        Token::Word(w) => format!("'{w}'"),
        Token::End => "its end".into(),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            _ if c.is_whitespace() => {
                chars.next();
            }
            '(' | ')' | ',' | '/' | ':' => {
                chars.next();
                tokens.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    ',' => Token::Comma,
                    ':' => Token::Colon,
                    _ => Token::Slash,
                });
            }
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => return bad("a text in $filter has no closing quote"),
                    }
                }
                // Enum literal: microsoft.graph.type'member' means the member.
                if let Some(Token::Word(word)) = tokens.last()
                    && word.contains('.')
                    && word.to_ascii_lowercase().starts_with("microsoft.graph.")
                {
                    tokens.pop();
                }
                tokens.push(Token::Text(value));
            }
            _ if c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$' | '.' | '+') => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    // A time has colons within; a lambda's colon follows a letter-only variable.
                    let time = c == ':' && word.len() >= 13 && word.as_bytes().get(10) == Some(&b'T');
                    if c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$' | '.' | '+') || time {
                        word.push(c);
                        chars.next();
                    } else {
                        break;
                    }
                }
                let number = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
                    && word.parse::<f64>().is_ok();
                tokens.push(if number { Token::Number(word) } else { Token::Word(word) });
            }
            other => return bad(format!("'{other}' has no meaning in $filter")),
        }
    }
    tokens.push(Token::End);
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    tests: usize,
    variables: Vec<String>,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }
    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }
    fn word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(word))
    }
    fn expect(&mut self, token: Token) -> Result<(), FilterError> {
        let found = self.next();
        if found == token { Ok(()) } else { bad(format!("$filter needs {} before {}", shown(&token), shown(&found))) }
    }
    fn down(&mut self) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { bad(format!("$filter is nested deeper than {MAX_DEPTH} levels")) } else { Ok(()) }
    }

    fn or(&mut self) -> Result<Filter, FilterError> {
        self.down()?;
        let mut parts = vec![self.and()?];
        while self.word("or") {
            self.at += 1;
            parts.push(self.and()?);
        }
        self.depth -= 1;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Or(parts) })
    }

    fn and(&mut self) -> Result<Filter, FilterError> {
        let mut parts = vec![self.unary()?];
        while self.word("and") {
            self.at += 1;
            parts.push(self.unary()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) })
    }

    fn unary(&mut self) -> Result<Filter, FilterError> {
        if self.word("not") {
            self.down()?;
            self.at += 1;
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(inner)));
        }
        self.test()
    }

    /// `(a) eq b` has a property in parentheses, `(a eq b)` a filter: tell them apart by what follows.
    fn parenthesised_property(&self) -> bool {
        let mut at = self.at + 1;
        while matches!(self.tokens.get(at), Some(Token::Word(_) | Token::Slash)) {
            if let Some(Token::Word(w)) = self.tokens.get(at)
                && (comparison(w).is_some() || w.eq_ignore_ascii_case("in"))
            {
                return false;
            }
            at += 1;
        }
        matches!(self.tokens.get(at), Some(Token::Close))
            && matches!(self.tokens.get(at + 1), Some(Token::Word(w)) if comparison(w).is_some())
    }

    fn test(&mut self) -> Result<Filter, FilterError> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return bad(format!("$filter may have at most {MAX_TESTS} tests"));
        }
        if *self.peek() == Token::Open && !self.parenthesised_property() {
            self.at += 1;
            let inner = self.or()?;
            self.expect(Token::Close)?;
            return Ok(inner);
        }
        if let (Token::Word(name), Some(Token::Open)) = (self.peek().clone(), self.tokens.get(self.at + 1)) {
            let how = match name.to_ascii_lowercase().as_str() {
                "startswith" => Some(TextTest::StartsWith),
                "endswith" => Some(TextTest::EndsWith),
                "contains" => Some(TextTest::Contains),
                "isof" => {
                    self.at += 2;
                    let token = self.next();
                    self.expect(Token::Close)?;
                    return match token {
                        Token::Text(name) | Token::Word(name) => Ok(Filter::IsOf(short(&name))),
                        other => bad(format!("isof needs a type's name, not {}", shown(&other))),
                    };
                }
                "tolower" | "cast" => None,
                other => return Err(FilterError::Unsupported(format!("$filter function {other}"))),
            };
            if let Some(how) = how {
                self.at += 2;
                let property = self.property()?;
                self.expect(Token::Comma)?;
                let text = match self.literal()? {
                    Literal::Text(text) => text,
                    _ => return bad(format!("{name} needs a text in quotes")),
                };
                self.expect(Token::Close)?;
                let filter = Filter::Text(property, how, text);
                // Some write `contains(..) eq true`.
                if self.word("eq") {
                    self.at += 1;
                    return match self.literal()? {
                        Literal::Bool(true) => Ok(filter),
                        Literal::Bool(false) => Ok(Filter::Not(Box::new(filter))),
                        _ => bad(format!("{name} gives true or false")),
                    };
                }
                return Ok(filter);
            }
        }
        let property = self.property()?;
        if let Some(any) = property.path.last()
            && *self.peek() == Token::Open
        {
            let word = any.to_ascii_lowercase();
            if word == "any" {
                return self.any(property);
            }
            return Err(FilterError::Unsupported(format!("$filter function {any}")));
        }
        let operator = match self.next() {
            Token::Word(word) => word,
            // A boolean property alone.
            Token::End | Token::Close => {
                self.at -= 1;
                return Ok(Filter::Compare(property, Compare::Eq, Literal::Bool(true)));
            }
            other => {
                return bad(format!(
                    "'{}' needs an operator such as eq behind it, not {}",
                    property.name(),
                    shown(&other)
                ));
            }
        };
        if operator.eq_ignore_ascii_case("in") {
            self.expect(Token::Open)?;
            let mut literals = vec![self.literal()?];
            while *self.peek() == Token::Comma {
                self.at += 1;
                literals.push(self.literal()?);
                self.tests += 1;
                if self.tests > MAX_TESTS {
                    return bad(format!("$filter may have at most {MAX_TESTS} tests"));
                }
            }
            self.expect(Token::Close)?;
            return Ok(Filter::In(property, literals));
        }
        if operator.eq_ignore_ascii_case("and") || operator.eq_ignore_ascii_case("or") {
            self.at -= 1;
            return Ok(Filter::Compare(property, Compare::Eq, Literal::Bool(true)));
        }
        match comparison(&operator) {
            Some(compare) => Ok(Filter::Compare(property, compare, self.literal()?)),
            None if ["has", "add", "sub", "mul", "div", "mod"].contains(&operator.to_ascii_lowercase().as_str()) => {
                Err(FilterError::Unsupported(format!("$filter operator {operator}")))
            }
            None => bad(format!("'{operator}' is no operator of $filter")),
        }
    }

    /// `a/b`, `(a/b)`, `tolower(a)`, `microsoft.graph.type/a`, `x/a` of a lambda.
    fn property(&mut self) -> Result<Property, FilterError> {
        if *self.peek() == Token::Open {
            self.at += 1;
            let inner = self.property()?;
            self.expect(Token::Close)?;
            return Ok(inner);
        }
        if self.word("tolower") && self.tokens.get(self.at + 1) == Some(&Token::Open) {
            self.down()?;
            self.at += 2;
            let mut inner = self.property()?;
            self.expect(Token::Close)?;
            self.depth -= 1;
            inner.lower = true;
            return Ok(inner);
        }
        let mut path = Vec::new();
        let mut cast = None;
        loop {
            match self.next() {
                Token::Word(word) if word.to_ascii_lowercase().starts_with("microsoft.graph.") => {
                    cast = Some(short(&word));
                }
                Token::Word(word) => path.push(word),
                other => return bad(format!("$filter needs a property's name, not {}", shown(&other))),
            }
            if *self.peek() == Token::Slash {
                self.at += 1;
            } else {
                break;
            }
        }
        if let Some(first) = path.first()
            && self.variables.contains(first)
        {
            path.remove(0);
            if path.is_empty() {
                path.push("$it".to_owned());
            }
        }
        if path.is_empty() || path.len() > 6 {
            return bad("$filter needs a property's name");
        }
        Ok(Property { cast, path, lower: false })
    }

    fn any(&mut self, mut property: Property) -> Result<Filter, FilterError> {
        property.path.pop();
        self.down()?;
        self.expect(Token::Open)?;
        if *self.peek() == Token::Close {
            self.at += 1;
            self.depth -= 1;
            return Ok(Filter::Any(property, None));
        }
        let Token::Word(variable) = self.next() else { return bad("any needs a variable, as in any(x: x eq 'a')") };
        self.expect(Token::Colon)?;
        self.variables.push(variable);
        let inner = self.or()?;
        self.variables.pop();
        self.expect(Token::Close)?;
        self.depth -= 1;
        Ok(Filter::Any(property, Some(Box::new(inner))))
    }

    fn literal(&mut self) -> Result<Literal, FilterError> {
        if self.word("tolower") && self.tokens.get(self.at + 1) == Some(&Token::Open) {
            self.at += 2;
            let inner = self.literal()?;
            self.expect(Token::Close)?;
            return Ok(inner);
        }
        match self.next() {
            Token::Text(text) => Ok(Literal::Text(text)),
            Token::Number(number) => Ok(match number.parse::<i64>() {
                Ok(n) => Literal::Int(n),
                // A GUID may begin with digits and an e; those are words. This is a number.
                Err(_) => match number.parse::<f64>() {
                    Ok(n) if n.is_finite() => Literal::Float(n),
                    _ => return bad(format!("{number} is out of range")),
                },
            }),
            Token::Word(word) => {
                let lower = word.to_ascii_lowercase();
                match lower.as_str() {
                    "null" => return Ok(Literal::Null),
                    "true" => return Ok(Literal::Bool(true)),
                    "false" => return Ok(Literal::Bool(false)),
                    _ => {}
                }
                if uuid::Uuid::try_parse(&word).is_ok() && word.len() == 36 {
                    return Ok(Literal::Text(lower));
                }
                if let Ok(at) = word.parse::<jiff::Timestamp>() {
                    return Ok(Literal::Time(at.as_millisecond()));
                }
                if let Ok(date) = word.parse::<jiff::civil::Date>()
                    && let Ok(at) = date.to_zoned(jiff::tz::TimeZone::UTC)
                {
                    return Ok(Literal::Time(at.timestamp().as_millisecond()));
                }
                bad(format!("'{word}' is no value; texts stand in single quotes"))
            }
            other => bad(format!("$filter needs a value, not {}", shown(&other))),
        }
    }
}

fn comparison(word: &str) -> Option<Compare> {
    Some(match word.to_ascii_lowercase().as_str() {
        "eq" => Compare::Eq,
        "ne" => Compare::Ne,
        "gt" => Compare::Gt,
        "ge" => Compare::Ge,
        "lt" => Compare::Lt,
        "le" => Compare::Le,
        _ => return None,
    })
}

/// A type's name without namespace and `#`.
pub(super) fn short(name: &str) -> String {
    let name = name.trim_start_matches('#');
    let at = if name.to_ascii_lowercase().starts_with("microsoft.graph.") { "microsoft.graph.".len() } else { 0 };
    name[at..].to_owned()
}

/// Parts between separators that stand outside quotes and parentheses.
pub(super) fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut depth) = (Vec::new(), 0, false, 0usize);
    for (i, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if c == separator && !quoted && depth == 0 => {
                parts.push(&text[start..i]);
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use muster_domain::query::matches;
    use serde_json::{Value, json};

    use super::*;

    fn passes(filter: &str, entity: &Value) -> bool {
        matches(&parse(filter).unwrap(), entity, &|name, base| super::super::types::table().is_a(name, base))
    }

    #[test]
    fn filters_that_tools_send_are_understood() {
        let entity = json!({
            "@odata.type": "#microsoft.graph.iosCustomConfiguration",
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "displayName": "O'Neill's Wi-Fi",
            "isAssigned": true,
            "version": 3,
            "description": null,
            "lastModifiedDateTime": "2026-05-01T10:00:00Z",
            "roleScopeTagIds": ["0", "7"],
            "resources": [{"auditResourceType": "Policy"}],
        });
        for filter in [
            "displayName eq 'O''Neill''s Wi-Fi'",
            "startsWith(displayName,'o''') and endsWith(displayName,'FI')",
            "contains(tolower(displayName),'wi-fi')",
            "contains(displayName, 'neill') eq true",
            "isof('microsoft.graph.iosCustomConfiguration') or isof('microsoft.graph.macOSCustomConfiguration')",
            "isof('microsoft.graph.deviceConfiguration')",
            "not isof('microsoft.graph.iosWiFiConfiguration')",
            "(microsoft.graph.iosWiFiConfiguration/ssid) eq null or isAssigned eq false",
            "id in ('0f8fad5b-d9cb-469f-a165-70867728950e','x')",
            "id eq 0f8fad5b-d9cb-469f-a165-70867728950e",
            "roleScopeTagIds/any(t:t eq '7')",
            "roleScopeTagIds/any()",
            "resources/any(s:s/auditResourceType eq 'policy')",
            "version gt 2 and version le 3 and version ne 4",
            "lastModifiedDateTime ge 2026-05-01 and lastModifiedDateTime lt 2026-05-01T10:00:01Z",
            "description eq null",
            "isAssigned",
            "not (isAssigned eq false)",
            "((displayName) eq 'O''Neill''s Wi-Fi')",
            "displayName ne 'b'",
            "isAssigned and version eq 3",
        ] {
            assert!(passes(filter, &entity), "{filter}");
        }
        for filter in ["displayName eq 'x'", "version lt 3", "description ne null", "roleScopeTagIds/any(t:t eq '1')"] {
            assert!(!passes(filter, &entity), "{filter}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for filter in [
            "",
            "displayName",
            "displayName eq",
            "displayName eq b",
            "displayName eq 'b",
            "(displayName eq 'b'",
            "displayName eq 'b')",
            "a eq 'b' or",
            "eq eq eq eq",
            "contains(a)",
            "a in ()",
            "a like 'b'",
            "a eq 1e999",
            "x/any(",
            "; drop table device",
        ] {
            // A bare name is a boolean property.
            if filter == "displayName" {
                assert!(parse(filter).is_ok());
                continue;
            }
            assert!(matches!(parse(filter), Err(FilterError::Bad(_))), "{filter}");
        }
        assert!(matches!(parse("length(a) eq 1"), Err(FilterError::Unsupported(what)) if what.contains("length")));
        assert!(matches!(parse("a has 'b'"), Err(FilterError::Unsupported(_))));
    }

    #[test]
    fn e15_size_and_depth_are_bounded() {
        let deep = "(".repeat(5000) + "a eq 1" + &")".repeat(5000);
        assert!(parse(&deep).is_err());
        let deep = "(".repeat(500) + "a eq 1" + &")".repeat(500);
        assert!(parse(&deep).is_err());
        let nots = "not ".repeat(900) + "a eq 1";
        assert!(parse(&nots).is_err());
        let wide = vec!["a eq 1"; 300].join(" or ");
        assert!(parse(&wide).is_err());
        let many = format!("a in ({})", vec!["1"; 1000].join(","));
        assert!(parse(&many).is_err());
    }

    proptest::proptest! {
        #[test]
        fn e15_no_text_makes_the_parser_fall(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
        #[test]
        fn e15_no_mix_of_tokens_makes_the_parser_fall(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "(", ")", ",", "/", ":", "a", "eq", "not", "or", "and", "in", "any", "'x'", "1", "null",
                    "isof", "contains", "tolower", "microsoft.graph.user", "-", "1e9",
                ]),
                0..24,
            )
        ) {
            let _ = parse(&words.join(" "));
        }
    }
}
