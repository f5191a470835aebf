//! Words of a rule with their places.

use super::RuleError;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    ListOpen,
    /// `]`
    ListClose,
    /// `,`
    Comma,
    /// A property, an operator, `null`, `true`: as written.
    Name(String),
    /// A quoted text without its quotes and escapes.
    Text(String),
}

/// A word and the character it begins at, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub word: Word,
    pub at: usize,
}

/// Cuts a rule into words.
///
/// Texts stand in double or single quotes. A backtick takes the next quote or backtick as it is, two
/// single quotes are one; every other character, the backslash of a pattern included, stands for itself.
pub(super) fn words(rule: &str) -> Result<Vec<Placed>, RuleError> {
    let mut out = Vec::new();
    let mut rest = rule.chars().enumerate().map(|(i, c)| (i + 1, c)).peekable();
    while let Some((at, c)) = rest.next() {
        let word = match c {
            c if c.is_whitespace() => continue,
            '(' => Word::Open,
            ')' => Word::Close,
            '[' => Word::ListOpen,
            ']' => Word::ListClose,
            ',' => Word::Comma,
            '"' | '\'' => {
                let mut text = String::new();
                loop {
                    let Some((_, next)) = rest.next() else {
                        return Err(RuleError::new(at, "the text that begins here is never closed; add a quote"));
                    };
                    let after = rest.peek().map(|(_, c)| *c);
                    match next {
                        '`' if matches!(after, Some('"' | '\'' | '`')) => text.extend(rest.next().map(|(_, c)| c)),
                        '\'' if after == Some('\'') => text.extend(rest.next().map(|(_, c)| c)),
                        end if end == c => break,
                        other => text.push(other),
                    }
                }
                Word::Text(text)
            }
            c if in_name(c) => {
                let mut name = String::from(c);
                while let Some((_, c)) = rest.next_if(|(_, c)| in_name(*c)) {
                    name.push(c);
                }
                Word::Name(name)
            }
            c => return Err(RuleError::new(at, format!("the character {c:?} has no meaning here"))),
        };
        out.push(Placed { word, at });
    }
    Ok(out)
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$')
}
