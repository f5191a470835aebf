//! What differs between the engines: parameter spelling, column types, locking clauses.
//!
//! Also reads a statement once to learn which tables it names, for the scope check of [`crate::Tx`].

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::migrate::is_server_wide;
use crate::{Dialect, Error, Scope, Tx, Value};

/// A statement as one engine takes it, and what the scope check needs to know of it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) sql: String,
    pub(crate) tenant_table: Option<String>,
    /// It makes a job: whoever runs jobs is woken after the commit.
    pub(crate) makes_job: bool,
    /// It may change something.
    pub(crate) writes: bool,
}

/// Statement texts that were read before, a cache per connection. Bounded: dynamic filters make new texts.
pub(crate) struct Texts {
    dialect: Dialect,
    known: HashMap<String, Arc<Text>>,
}

const KNOWN_TEXTS: usize = 1_024;

impl Texts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Texts { dialect, known: HashMap::new() }
    }

    pub(crate) fn get(&mut self, sql: &str) -> Arc<Text> {
        if let Some(text) = self.known.get(sql) {
            return Arc::clone(text);
        }
        if self.known.len() >= KNOWN_TEXTS {
            self.known.clear();
        }
        let text = Arc::new(Text {
            sql: match self.dialect {
                Dialect::Sqlite => number_parameters(&engine_words(Dialect::Sqlite, sql)),
                Dialect::Postgres => engine_words(Dialect::Postgres, sql),
            },
            writes: !sql.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("select ")),
            makes_job: sql.trim_start().starts_with("insert into job "),
            tenant_table: tables(sql).into_iter().find(|table| !is_server_wide(table)),
        });
        self.known.insert(sql.to_owned(), Arc::clone(&text));
        text
    }
}

impl Text {
    /// A statement on a tenant table runs in a tenant's scope and binds that tenant (threats D7).
    /// PostgreSQL's row-level security stands behind this; SQLite has only this.
    pub(crate) fn check(&self, scope: Scope, args: &[Value]) -> Result<(), Error> {
        let Some(table) = &self.tenant_table else { return Ok(()) };
        match scope {
            Scope::Tenant(tenant) if args.iter().any(|arg| matches!(arg, Value::Id(id) if *id == tenant)) => Ok(()),
            Scope::Tenant(_) => Err(Error::inconsistent(
                table,
                format!("a statement on a tenant's table does not bind the tenant: {}", self.sql),
            )),
            Scope::Server => Err(Error::inconsistent(
                table,
                format!("a statement on a tenant's table outside a tenant's scope: {}", self.sql),
            )),
        }
    }
}

/// `$1` -> `?1` outside quotes and comments. SQLite reads `$1` as a name, numbered by first appearance.
pub(crate) fn number_parameters(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(['$', '\'', '"', '-', '/']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with('$') && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            out.push('?');
            rest = &rest[1..];
            continue;
        } else {
            opaque(rest).max(1)
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// Length of the quoted text or comment that `sql` begins with; 0 if it begins with neither.
pub(crate) fn opaque(sql: &str) -> usize {
    let end = |from: usize, mark: &str| sql[from..].find(mark).map_or(sql.len(), |at| from + at + mark.len());
    if sql.starts_with('\'') {
        end(1, "'")
    } else if sql.starts_with('"') {
        end(1, "\"")
    } else if sql.starts_with("--") {
        end(2, "\n")
    } else if sql.starts_with("/*") {
        end(2, "*/")
    } else {
        0
    }
}

/// The tables that a statement names after `from`, `join`, `into`, `update`; common table expressions are left out.
pub(crate) fn tables(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let skip = opaque(rest);
        if skip > 0 {
            rest = &rest[skip..];
            continue;
        }
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if word > 0 {
            words.push(rest[..word].to_ascii_lowercase());
            rest = &rest[word..];
        } else {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            if matches!(&rest[..next], "(" | "," | ")") {
                words.push(rest[..next].to_owned());
            }
            rest = &rest[next..];
        }
    }
    let expressions: Vec<&String> = words
        .windows(3)
        .filter(|w| w[1] == "as" && (w[2] == "(" || w[2] == "materialized" || w[2] == "not"))
        .map(|w| &w[0])
        .collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if !matches!(word.as_str(), "from" | "join" | "into" | "update") {
            continue;
        }
        // `from a, b` names two tables; a list inside parentheses is a subquery and read on its own.
        let mut next = at + 1;
        while let Some(table) = words.get(next) {
            if matches!(table.as_str(), "set" | "(" | "select" | "lateral") || expressions.contains(&table) {
                break;
            }
            found.push(table.clone());
            // A comma directly after the table, or after its alias.
            next = match (words.get(next + 1).map(String::as_str), words.get(next + 2).map(String::as_str)) {
                (Some(","), _) if word == "from" => next + 2,
                (Some(alias), Some(",")) if word == "from" && !matches!(alias, "(" | ")") => next + 3,
                _ => break,
            };
        }
    }
    found
}

/// The words that noun files write where the engines differ, and what each engine reads instead:
///
/// - `/* skip locked */` behind a `select` of rows to work on: leaves those that another worker has
///   chosen. Nothing on SQLite, which has one writer.
/// - `/* for update */`: locks the chosen rows until the transaction ends. Nothing on SQLite.
/// - `lease_clock($n)`: the database's own time in unix milliseconds on PostgreSQL, where several
///   nodes compare their leases; the injected clock, bound as `$n`, on SQLite.
fn engine_words(dialect: Dialect, sql: &str) -> String {
    match dialect {
        Dialect::Sqlite => sql.replace("lease_clock(", "("),
        Dialect::Postgres => sql
            .replace("/* skip locked */", "for update skip locked")
            .replace("/* for update */", "for update")
            .replace("lease_clock(", "coalesce(cast(extract(epoch from clock_timestamp()) * 1000 as bigint), "),
    }
}

/// `$from, $from+1, ...`, for `in (...)` lists and rows of values.
pub fn placeholders(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Lengths of a list of ids or rows in one statement, so that few statements are prepared.
const LENGTHS: [usize; 5] = [500, 100, 50, 10, 1];

/// A statement on one id, `... in ($2 /* more */) ...`, on many: its text and its parameters, the tenant
/// first. The list is filled up with its last id to one of few lengths, which changes nothing.
pub(crate) fn many(sql: &str, tenant: Uuid, ids: &[Uuid]) -> (String, Vec<Value>) {
    let length = LENGTHS.into_iter().rev().find(|length| *length >= ids.len()).unwrap_or(ids.len());
    let mut args = vec![Value::Id(tenant)];
    args.extend(ids.iter().copied().map(Value::Id));
    args.resize(length + 1, ids.last().copied().map_or(Value::Null, Value::Id));
    (sql.replace("$2 /* more */", &placeholders(2, length)), args)
}

/// Writes many rows by a statement that writes one, `... values ($1, $2, ...) ...` with the tenant as `$1`;
/// a row here is what stands behind the tenant.
pub(crate) fn write_rows(tx: &mut dyn Tx, tenant: Uuid, sql: &str, rows: &[Vec<Value>]) -> crate::Result<()> {
    const VALUES: &str = "values (";
    let Some(start) = sql.find(VALUES).map(|at| at + VALUES.len() - 1) else {
        return Err(Error::Engine(format!("a statement without values: {sql}")));
    };
    let end = sql[start..].find(')').map_or(sql.len(), |at| start + at + 1);
    let mut rest = rows;
    while let Some(width) = rest.first().map(Vec::len) {
        // As many values as SQLite and PostgreSQL both take.
        let count = LENGTHS.into_iter().find(|count| *count <= rest.len() && count * width < 30_000).unwrap_or(1);
        let (now, later) = rest.split_at(count);
        let texts: Vec<String> =
            (0..count).map(|row| format!("($1, {})", placeholders(2 + row * width, width))).collect();
        let args: Vec<Value> = std::iter::once(Value::Id(tenant)).chain(now.iter().flatten().cloned()).collect();
        tx.execute(&format!("{}{}{}", &sql[..start], texts.join(", "), &sql[end..]), &args)?;
        rest = later;
    }
    Ok(())
}

/// A pattern for `like $n escape '\'` that matches texts containing `part`. Texts compare byte by
/// byte on both engines; write `lower(column) like lower(pattern)` to ignore ASCII case.
pub fn like_contains(part: &str) -> String {
    format!("%{}%", like_escaped(part))
}

/// A pattern for `like $n escape '\'` that matches texts starting with `part`.
pub fn like_prefix(part: &str) -> String {
    format!("{}%", like_escaped(part))
}

fn like_escaped(part: &str) -> String {
    part.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_outside_quotes_and_comments() {
        assert_eq!(
            number_parameters("select '$1', \"$2\" -- $3\n, /* $4 */ $12 from t where a = $2 and b - $1 / $3"),
            "select '$1', \"$2\" -- $3\n, /* $4 */ ?12 from t where a = ?2 and b - ?1 / ?3"
        );
    }

    #[test]
    fn engine_words_become_the_engines() {
        let sql = "select a from t where b <= lease_clock($1) /* for update */";
        assert_eq!(engine_words(Dialect::Sqlite, sql), "select a from t where b <= ($1) /* for update */");
        let on_postgres = engine_words(Dialect::Postgres, sql);
        assert!(on_postgres.ends_with("* 1000 as bigint), $1) for update"), "{on_postgres}");
    }

    #[test]
    fn tables_of_a_statement() {
        let of = |sql: &str| tables(sql);
        assert_eq!(of("select 1 from device d join fact on d.id = fact.device_id"), ["device", "fact"]);
        assert_eq!(of("insert into item (a) values ($1) on conflict (a) do update set b = 1"), ["item"]);
        assert_eq!(of("with due as (select id from job) delete from timer using due"), ["job", "timer"]);
        assert_eq!(of("select 1 from device, fact f, item where 'from person'"), ["device", "fact", "item"]);
        assert_eq!(of("select * from (select 1 from secret) x"), ["secret"]);
    }
}
