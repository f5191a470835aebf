//! CSV import of people and memberships: first a preview that changes nothing, then the same file
//! for real. A wrong row is named with its line and column and left out; the others go in.

use std::collections::{BTreeMap, BTreeSet};

use muster_storage::{
    Tx, audit, credentials, groups,
    groups::{Member, MemberKind},
    people,
    people::Person,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    groups::{add, member_of_directory, must_be_assigned},
    mark,
    users::{check_principal_name, find_person},
};
use crate::{Actor, Error, Ids, Result, Service, audit::Act, operators::may_touch, sign_in::password};

/// Rows of one file.
const MOST_ROWS: usize = 5_000;
/// Errors and changes that an answer lists.
const LISTED: usize = 200;
/// Rows of one transaction.
const CHUNK: usize = 50;

/// Columns of people that become properties of Graph's user as they are.
const PROPERTIES: [&str; 13] = [
    "givenName",
    "surname",
    "jobTitle",
    "department",
    "companyName",
    "officeLocation",
    "mobilePhone",
    "city",
    "country",
    "usageLocation",
    "preferredLanguage",
    "employeeId",
    "mailNickname",
];
const USER_COLUMNS: [&str; 8] = [
    "userPrincipalName",
    "displayName",
    "mail",
    "accountEnabled",
    "licensed",
    "password",
    "forceChangePasswordNextSignIn",
    "managedAppleAccount",
];
const MEMBER_COLUMNS: [&str; 3] = ["group", "member", "action"];

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// People.
    Users,
    /// Who is in which group.
    Memberships,
}

/// One row: its line in the file, and its cells by column.
#[derive(Clone, Debug)]
struct Line {
    line: u64,
    cells: BTreeMap<String, String>,
}

impl Line {
    fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    }
}

/// Why a row was left out.
#[derive(Clone, Debug)]
struct Wrong {
    line: u64,
    column: String,
    message: String,
}

impl Wrong {
    fn new(line: &Line, column: &str, message: impl Into<String>) -> Self {
        Wrong { line: line.line, column: column.to_owned(), message: message.into() }
    }
}

/// What a file did or would do.
#[derive(Default)]
struct Report {
    rows: usize,
    created: usize,
    updated: usize,
    unchanged: usize,
    changes: Vec<Value>,
    errors: Vec<Wrong>,
}

impl Report {
    fn count(&mut self, line: &Line, what: &'static str, subject: &str) {
        match what {
            "create" | "add" => self.created += 1,
            "none" => self.unchanged += 1,
            _ => self.updated += 1,
        }
        if what != "none" && self.changes.len() < LISTED {
            self.changes.push(json!({"line": line.line, "change": what, "subject": subject}));
        }
    }

    fn view(self, committed: bool) -> Value {
        let wrong = self.errors.len();
        let listed = self.errors.into_iter().take(LISTED);
        let errors: Vec<Value> =
            listed.map(|e| json!({"line": e.line, "column": e.column, "message": e.message})).collect();
        json!({
            "committed": committed,
            "rows": self.rows,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "failed": wrong,
            "errors": errors,
            "changes": self.changes,
        })
    }
}

fn read(kind: ImportKind, text: &str) -> Result<Vec<Line>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\0') {
        return Err(Error::bad_request("the file contains the character U+0000; save it as plain UTF-8 text"));
    }
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains(';') && !first.contains(',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let unreadable = |error: csv::Error| Error::bad_request(format!("the file is not readable as CSV: {error}"));
    let known: Vec<&str> = match kind {
        ImportKind::Users => USER_COLUMNS.into_iter().chain(PROPERTIES).collect(),
        ImportKind::Memberships => MEMBER_COLUMNS.to_vec(),
    };
    let mut columns = Vec::new();
    for name in reader.headers().map_err(unreadable)? {
        let column = known.iter().find(|known| known.eq_ignore_ascii_case(name.trim())).ok_or_else(|| {
            Error::bad_request(format!("unknown column {:?}; known: {}", name.trim(), known.join(", ")))
        })?;
        if columns.contains(column) {
            return Err(Error::bad_request(format!("the column {column} stands twice")));
        }
        columns.push(*column);
    }
    let needed: &[&str] = match kind {
        ImportKind::Users => &["userPrincipalName"],
        ImportKind::Memberships => &["group", "member"],
    };
    if let Some(missing) = needed.iter().find(|column| !columns.contains(column)) {
        return Err(Error::bad_request(format!("the column {missing} is needed")));
    }
    let mut lines = Vec::new();
    let (mut counted, mut line) = (0, 1);
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if lines.len() == MOST_ROWS {
            return Err(Error::bad_request(format!("a file has at most {MOST_ROWS} rows; split it")));
        }
        // Counted here: behind CRLF the reader's own number is that of the line before.
        let begin = record.position().map_or(counted, |at| usize::try_from(at.byte()).unwrap_or(counted));
        let ends = text.as_bytes()[begin..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += text.as_bytes()[counted..begin + ends].iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = begin + ends;
        let cells = columns.iter().zip(record.iter()).map(|(column, cell)| ((*column).to_owned(), cell.to_owned()));
        let extra = record.len() > columns.len();
        let mut row = Line { line, cells: cells.collect() };
        if extra {
            row.cells.insert("\u{0}extra".into(), "x".into());
        }
        lines.push(row);
    }
    Ok(lines)
}

fn flag(line: &Line, column: &str) -> std::result::Result<Option<bool>, Wrong> {
    match line.get(column).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "yes" | "1") => Ok(Some(true)),
        Some("false" | "no" | "0") => Ok(Some(false)),
        Some(_) => Err(Wrong::new(line, column, "must be true or false")),
    }
}

/// The words of a refusal; other errors end the import.
fn wrong(line: &Line, column: &str, error: Error) -> Result<Wrong> {
    match error {
        Error::Refused(refusal) => Ok(Wrong::new(line, column, refusal.message)),
        other => Err(other),
    }
}

/// Applies (or only tries) one row of people.
fn user_row(
    tx: &mut dyn Tx,
    actor: &Actor,
    line: &Line,
    hash: Option<&str>,
    write: bool,
    ids: &mut Ids,
    now: i64,
) -> Result<std::result::Result<&'static str, Wrong>> {
    let tenant = actor.tenant;
    let name = line.get("userPrincipalName").unwrap_or_default();
    if let Err(error) = check_principal_name(tx, tenant, name) {
        return wrong(line, "userPrincipalName", error).map(Err);
    }
    let flags = || -> std::result::Result<_, Wrong> {
        Ok((
            flag(line, "accountEnabled")?,
            flag(line, "licensed")?,
            flag(line, "forceChangePasswordNextSignIn")?.unwrap_or(false),
        ))
    };
    let (enabled, licensed, must_change) = match flags() {
        Ok(flags) => flags,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let before = people::by_name(tx, tenant, name)?;
    if let Some(before) = &before
        && (line.get("password").is_some() || enabled.is_some())
        && let Err(error) = may_touch(tx, tenant, actor, before.id)
    {
        return wrong(line, "userPrincipalName", error).map(Err);
    }
    let mut person = match &before {
        Some(person) => person.clone(),
        None => {
            let Some(display_name) = line.get("displayName") else {
                return Ok(Err(Wrong::new(line, "displayName", "a new person needs displayName")));
            };
            Person {
                id: ids.next(),
                source: "local".into(),
                external_id: None,
                user_principal_name: name.to_owned(),
                display_name: display_name.to_owned(),
                mail: None,
                account_enabled: true,
                licensed: super::seat_for_new(tx, tenant)?,
                managed_apple_account: None,
                document: "{}".into(),
                deleted_at: None,
                version: 1,
                created_at: now,
                modified_at: now,
            }
        }
    };
    if let Some(display_name) = line.get("displayName") {
        person.display_name = display_name.to_owned();
    }
    person.mail = line.get("mail").map(str::to_owned).or(person.mail);
    person.managed_apple_account = line.get("managedAppleAccount").map(str::to_owned).or(person.managed_apple_account);
    person.licensed = licensed.unwrap_or(person.licensed);
    if let Some(enabled) = enabled {
        if !enabled
            && person.account_enabled
            && let Err(error) = super::keep_an_owner(tx, tenant, person.id)
        {
            return wrong(line, "accountEnabled", error).map(Err);
        }
        person.account_enabled = enabled;
    }
    let mut document: Map<String, Value> = serde_json::from_str(&person.document).map_err(Error::internal)?;
    for column in PROPERTIES {
        if let Some(cell) = line.get(column) {
            document.insert(column.into(), json!(cell));
        }
    }
    person.document = Value::Object(document).to_string();
    let password = line.get("password").is_some();
    let what = match &before {
        None => "create",
        Some(before) if *before == person && !password => return Ok(Ok("none")),
        Some(_) => "update",
    };
    if !write {
        return Ok(Ok(what));
    }
    person.modified_at = now;
    if before.is_none() {
        people::insert(tx, tenant, &person)?;
    } else if !people::update(tx, tenant, &person)? {
        return Ok(Err(Wrong::new(line, "userPrincipalName", "changed meanwhile; import the row again")));
    }
    if let Some(hash) = hash {
        let password = credentials::Password { hash: hash.to_owned(), must_change, changed_at: now };
        credentials::set_password(tx, tenant, person.id, &password)?;
    }
    if !person.account_enabled || hash.is_some() {
        muster_storage::sessions::remove_of_person(tx, tenant, person.id, None)?;
    }
    mark::person(tx, tenant, person.id, ids, now)?;
    Ok(Ok(what))
}

/// Applies (or only tries) one row of memberships.
fn member_row(
    tx: &mut dyn Tx,
    tenant: Uuid,
    line: &Line,
    write: bool,
    ids: &mut Ids,
    now: i64,
) -> Result<std::result::Result<&'static str, Wrong>> {
    let named = line.get("group").unwrap_or_default();
    let group = match named.parse::<Uuid>() {
        Ok(id) => groups::by_id(tx, tenant, id)?.into_iter().collect(),
        Err(_) => groups::by_name(tx, tenant, named)?,
    };
    let group = match group.as_slice() {
        [group] => group.id,
        [] => return Ok(Err(Wrong::new(line, "group", "there is no such group"))),
        _ => return Ok(Err(Wrong::new(line, "group", "several groups have this name; use the id"))),
    };
    if let Err(error) = must_be_assigned(tx, tenant, group) {
        return wrong(line, "group", error).map(Err);
    }
    let named = line.get("member").unwrap_or_default();
    let member = match named.parse::<Uuid>() {
        Ok(id) => member_of_directory(tx, tenant, id)?,
        Err(_) => find_person(tx, tenant, named)?.map(|person| Member { kind: MemberKind::User, id: person.id }),
    };
    let Some(member) = member else {
        return Ok(Err(Wrong::new(line, "member", "there is no such user, device or group")));
    };
    let inside = groups::members(tx, tenant, group, None, i64::from(i32::MAX))?.contains(&member);
    match line.get("action").unwrap_or("add").to_ascii_lowercase().as_str() {
        "add" if inside => Ok(Ok("none")),
        "add" => {
            if write && let Err(error) = add(tx, tenant, group, member, ids, now) {
                return wrong(line, "member", error).map(Err);
            }
            Ok(Ok("add"))
        }
        "remove" if !inside => Ok(Ok("none")),
        "remove" => {
            if write {
                groups::remove_member(tx, tenant, group, member.id)?;
                mark::member(tx, tenant, member, ids, now)?;
            }
            Ok(Ok("remove"))
        }
        _ => Ok(Err(Wrong::new(line, "action", "must be add or remove"))),
    }
}

impl Service {
    /// Reads a file and says what it would do; with `commit` it does it.
    pub async fn import(&self, actor: &Actor, kind: ImportKind, text: &str, commit: bool) -> Result<Value> {
        let mut report = Report::default();
        let mut good: Vec<(Line, Option<String>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for line in read(kind, text)? {
            report.rows += 1;
            if line.cells.contains_key("\u{0}extra") {
                report.errors.push(Wrong::new(&line, "", "the row has more cells than the header"));
                continue;
            }
            let mut hash = None;
            if kind == ImportKind::Users {
                let name = line.get("userPrincipalName").unwrap_or_default();
                if !seen.insert(Person::key(name)) {
                    report.errors.push(Wrong::new(&line, "userPrincipalName", "stands twice in the file"));
                    continue;
                }
                if let Some(new) = line.get("password") {
                    if let Err(error) = password::check_new(new, name) {
                        report.errors.push(wrong(&line, "password", error)?);
                        continue;
                    }
                    if commit {
                        hash = Some(password::hash(&*self.random, new.to_owned()).await?);
                    }
                }
            }
            good.push((line, hash));
        }
        let (tenant, now) = (actor.tenant, self.clock.now());
        for chunk in good.chunks(CHUNK) {
            let (rows, ids, caller) = (chunk.to_vec(), self.ids(now), actor.clone());
            let entry = commit.then(|| self.import_entry(actor, kind, now));
            let done = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    let mut done = Vec::new();
                    for (line, hash) in &rows {
                        done.push(match kind {
                            ImportKind::Users => user_row(tx, &caller, line, hash.as_deref(), commit, &mut ids, now)?,
                            ImportKind::Memberships => member_row(tx, tenant, line, commit, &mut ids, now)?,
                        });
                    }
                    if let Some(entry) = &entry {
                        audit::record(tx, tenant, entry)?;
                    }
                    Ok::<_, Error>(done)
                })
                .await?;
            for ((line, _), outcome) in chunk.iter().zip(done) {
                let subject = line.get("userPrincipalName").or(line.get("member")).unwrap_or_default();
                match outcome {
                    Ok(what) => report.count(line, what, subject),
                    Err(wrong) => report.errors.push(wrong),
                }
            }
        }
        report.errors.sort_by_key(|error| error.line);
        Ok(report.view(commit))
    }

    fn import_entry(&self, actor: &Actor, kind: ImportKind, now: i64) -> audit::Entry {
        let activity = match kind {
            ImportKind::Users => "Import users",
            ImportKind::Memberships => "Import memberships",
        };
        self.audit_entry(actor, Act { operation: "Create", activity, category: "User", component: "import" }, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_with_their_line_numbers() {
        let lines = read(
            ImportKind::Users,
            "\u{feff}UserPrincipalName;displayName\nada@example.org;Ada\n;\neve@example.org;Eve",
        )
        .unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[1].line, lines[1].get("userPrincipalName")), (4, Some("eve@example.org")));
    }

    #[test]
    fn unknown_and_repeated_columns_are_named() {
        let refused = |text: &str| read(ImportKind::Users, text).unwrap_err().to_string();
        assert!(refused("userPrincipalName,rolle\n").contains("rolle"));
        assert!(refused("userPrincipalName,userprincipalname\n").contains("twice"));
        assert!(refused("displayName\nAda\n").contains("userPrincipalName"));
    }
}
