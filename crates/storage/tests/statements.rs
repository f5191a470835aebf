//! Every statement in the source: prepared on both engines, without values written into it, and
//! bound to a tenant where it touches a tenant's table.

use std::collections::HashMap;
use std::path::Path;

use muster_storage::{migrate, on_both_engines, testing};

/// A piece of Rust source that matters here.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
}

fn tokens(source: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if next == '"' {
            let mut text = String::new();
            let mut chars = rest.char_indices().skip(1).peekable();
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => match chars.next() {
                        Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                        Some((_, 'n')) => text.push('\n'),
                        Some((_, c)) => text.push(c),
                        None => {}
                    },
                    c => text.push(c),
                }
            }
            out.push(Token::Text(text));
            rest = &rest[end..];
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\''") || rest.starts_with("'\\\\'") {
            rest = rest[1..].split_once('\'').map_or("", |(_, after)| after.trim_start_matches('\''));
        } else if next.is_ascii_alphanumeric() || next == '_' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !next.is_whitespace() {
                out.push(Token::Sign(next));
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// The text of an expression that begins at `at`: a literal, `concat!(...)`, `name!()`; and its end.
fn text(tokens: &[Token], at: usize, macros: &HashMap<String, String>) -> Option<(String, usize)> {
    match tokens.get(at)? {
        Token::Text(text) => Some((text.clone(), at + 1)),
        Token::Word(name)
            if tokens.get(at + 1) == Some(&Token::Sign('!')) && tokens.get(at + 2) == Some(&Token::Sign('(')) =>
        {
            if name == "concat" {
                let (mut whole, mut next) = (String::new(), at + 3);
                while tokens.get(next) != Some(&Token::Sign(')')) {
                    let (part, end) = text(tokens, next, macros)?;
                    whole.push_str(&part);
                    next = if tokens.get(end) == Some(&Token::Sign(',')) { end + 1 } else { end };
                }
                Some((whole, next + 1))
            } else {
                macros.get(name).map(|text| (text.clone(), at + 4))
            }
        }
        _ => None,
    }
}

/// The statements of a source file, of those that are written out (a few are put together).
fn statements_of(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let tokens = tokens(source);
    let mut macros = HashMap::new();
    let mut constants = HashMap::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == Token::Word("macro_rules".into()) {
            // macro_rules! name { () => { text }; }
            if let (Some(Token::Word(name)), Some((text, end))) = (tokens.get(at + 2), text(&tokens, at + 9, &macros)) {
                macros.insert(name.clone(), text);
                at = end;
                continue;
            }
        }
        if let [Token::Word(word), Token::Word(name), ..] = &tokens[at..]
            && word == "const"
            && let Some(equals) = tokens[at..].iter().take(8).position(|token| *token == Token::Sign('='))
            && let Some((text, end)) = text(&tokens, at + equals + 1, &macros)
        {
            constants.insert(format!("{{{name}}}"), text);
            at = end;
            continue;
        }
        match text(&tokens, at, &macros) {
            Some((mut text, end)) => {
                for (name, value) in &constants {
                    text = text.replace(name, value);
                }
                let verb = text.split_whitespace().next().unwrap_or_default();
                let whole = text.split_whitespace().count() > 2;
                if whole && !text.contains('{') && ["select", "insert", "update", "delete", "with"].contains(&verb) {
                    found.push(text);
                }
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// Statements by file of the storage crate.
fn all() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let ours = ["dialect.rs", "migrate.rs", "postgres.rs", "sqlite.rs", "testing.rs"].contains(&name.as_str());
        if name.ends_with(".rs") && !ours {
            all.extend(
                statements_of(&std::fs::read_to_string(path).unwrap()).into_iter().map(|sql| (name.clone(), sql)),
            );
        }
    }
    assert!(all.len() > 100, "only {} statements were found", all.len());
    all
}

#[test]
fn statements_are_found_in_source() {
    let source = r#"
        macro_rules! columns { () => { "a, \
            b" }; }
        fn f() { tx.one(concat!("select ", columns!(), " from t where x = $1"), args![1]); // "select not this"
                 tx.execute("update t set a = 1", &[]); other("selected words"); }
    "#;
    assert_eq!(statements_of(source), ["select a, b from t where x = $1", "update t set a = 1"]);
}

on_both_engines! {
    async fn every_statement_can_be_prepared(store) {
        let all = all();
        let texts: Vec<String> = all.iter().map(|(_, sql)| sql.clone()).collect();
        let mut refused = store.prepare(&texts);
        // Parts of a statement that is put together name aliases that stand elsewhere.
        refused.retain(|(sql, _)| !all.iter().any(|(file, text)| text == sql && file == "device_list.rs"));
        let shown: Vec<String> = refused
            .iter()
            .map(|(sql, error)| {
                let file = all.iter().find(|(_, text)| text == sql).map_or("", |(file, _)| file);
                format!("{file}: {error}\n    {sql}")
            })
            .collect();
        assert!(refused.is_empty(), "{}", shown.join("\n"));
    }
}

/// D7, statically: a statement on a tenant's table compares `tenant_id` with a parameter, or inserts it.
#[test]
fn d7_every_statement_on_a_tenants_table_binds_the_tenant() {
    let tables: Vec<String> = testing::tables().into_iter().map(|(table, _)| table).collect();
    for (file, sql) in all() {
        let words: Vec<&str> = sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
        let touches = words.windows(2).any(|pair| {
            ["from", "join", "into", "update"].contains(&pair[0])
                && tables.iter().any(|table| table == pair[1])
                && !migrate::SERVER_WIDE.contains(&pair[1])
        });
        let compact: String = sql.chars().filter(|c| !c.is_whitespace()).collect();
        let binds = compact.contains("tenant_id=$")
            || compact.contains("(tenant_id,")
            || compact.contains("(tenant_id)")
            || compact.contains(",tenant_id)values(");
        assert!(!touches || binds || file == "device_list.rs", "{file}: {sql}");
    }
}

/// E15: values are parameters. The few files that put a statement together do so from fixed parts.
#[test]
fn e15_statements_are_not_formatted() {
    // The list's filters; the engines; and two that name columns or tables from a fixed list.
    let reviewed = [
        "device_list.rs",
        "dialect.rs",
        "migrate.rs",
        "postgres.rs",
        "sqlite.rs",
        "testing.rs",
        "items.rs",
        "people.rs",
    ];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".rs") || reviewed.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_ascii_lowercase();
            let sql = ["select ", "insert ", "update ", "delete ", " where ", " from "]
                .iter()
                .any(|word| lower.contains(word));
            let parts = line.split('{').skip(1).filter_map(|part| part.split('}').next());
            let foreign = parts.clone().any(|part| part.is_empty() || part.contains(|c: char| c.is_ascii_lowercase()));
            assert!(!(lower.contains("format!(") && sql && foreign), "{name}:{}: {line}", number + 1);
        }
    }
}

/// E11: what a check-in runs finds its rows by an index, whatever lies in history.
#[test]
fn e11_a_check_in_scans_no_table() {
    let store = testing::store();
    let hot = ["commands.rs", "device_identities.rs", "device_states.rs", "lookups.rs", "enrollments.rs"];
    let mut looked_at = 0;
    for (file, sql) in all().into_iter().filter(|(file, _)| hot.contains(&file.as_str())) {
        let plan = store.plan(&sql).unwrap_or_default();
        // The counted subquery of a bounded count is itself a search.
        let scans = plan.lines().any(|step| step.starts_with("SCAN") && !step.contains("waiting"));
        assert!(!scans, "{file}: {sql}\n{plan}");
        looked_at += 1;
    }
    assert!(looked_at > 40, "{looked_at}");
}
