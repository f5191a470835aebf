//! The list of devices: filters and orders of the API as SQL. Every value is a bound parameter and
//! every column comes from the table of `device_columns`, so that no text of a request becomes part of a statement.

use muster_domain::query::{After, Compare, Filter, Literal, Order, Property, TextTest};
use serde_json::Value as Json;
use uuid::Uuid;

pub use crate::device_columns::{Surface, Unsupported};
use crate::{
    Error, Result, Tx, TxExt, Value, args,
    device_columns::{FOUND, Kind, WALKED, column, tested},
    devices::{Device, columns, map},
};

/// Devices that a list shows: enrolled ones and ones on their way out. The indexes have the same
/// words in their `where`.
macro_rules! listed {
    () => {
        "tenant_id = $1 and state in ('enrolled', 'leaving')"
    };
}

/// A condition whose text is made of fixed pieces only.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    text: String,
    args: Vec<Value>,
    /// An index leads to the few rows that match.
    found: bool,
}

impl Condition {
    fn push(&mut self, piece: &'static str) {
        self.text.push_str(piece);
    }
    fn bind(&mut self, value: Value) {
        self.args.push(value);
        self.text.push('$');
        // $1 is the tenant.
        self.text.push_str(&(self.args.len() + 1).to_string());
    }
}

/// Turns a filter into a condition, or says what is not supported.
pub fn condition(surface: Surface, filter: &Filter) -> std::result::Result<Condition, Unsupported> {
    let mut condition = Condition::default();
    write(surface, filter, &mut condition)?;
    condition.found = found(surface, filter);
    Ok(condition)
}

/// True where the filter names a value of a column of [`FOUND`].
fn found(surface: Surface, filter: &Filter) -> bool {
    let indexed = |property: &Property| plain(surface, property).is_ok_and(|(name, _)| FOUND.contains(&name));
    match filter {
        Filter::And(parts) => parts.iter().any(|part| found(surface, part)),
        Filter::Or(parts) => parts.iter().all(|part| found(surface, part)),
        Filter::Compare(property, Compare::Eq, literal) => *literal != Literal::Null && indexed(property),
        Filter::In(property, _) | Filter::Text(property, TextTest::StartsWith, _) => indexed(property),
        _ => false,
    }
}

/// Says whether the list can be sorted by that.
pub fn sortable(surface: Surface, order: &Order) -> std::result::Result<(), Unsupported> {
    column(surface, &order.property).map(|_| ())
}

fn write(surface: Surface, filter: &Filter, out: &mut Condition) -> std::result::Result<(), Unsupported> {
    match filter {
        Filter::And(parts) => join(surface, parts, " and ", out),
        Filter::Or(parts) => join(surface, parts, " or ", out),
        Filter::Not(inner) => {
            // Three-valued logic must not lose rows: null is "does not match" before the negation.
            out.push("not coalesce((");
            write(surface, inner, out)?;
            out.push("), false)");
            Ok(())
        }
        Filter::Compare(property, compare, literal) => compare_column(surface, property, *compare, literal, out),
        Filter::In(property, literals) => {
            out.push("(");
            for (i, literal) in literals.iter().enumerate() {
                if i > 0 {
                    out.push(" or ");
                }
                compare_column(surface, property, Compare::Eq, literal, out)?;
            }
            out.push(")");
            Ok(())
        }
        Filter::Text(property, test, text) => {
            let (name, kind) = plain(surface, property)?;
            if !kind.is_text() {
                return Err(Unsupported::Test(property.name()));
            }
            if kind == Kind::Key && *test == TextTest::StartsWith {
                return write_range(name, text, out);
            }
            let mut pattern = String::with_capacity(text.len() + 2);
            if *test != TextTest::StartsWith {
                pattern.push('%');
            }
            for c in text.chars() {
                if matches!(c, '%' | '_' | '!') {
                    pattern.push('!');
                }
                pattern.push(c);
            }
            if *test != TextTest::EndsWith {
                pattern.push('%');
            }
            // Words too: `contains` pays no regard to letter case.
            out.push(if kind == Kind::Key { "(" } else { "lower(" });
            out.push(name);
            out.push(") like ");
            out.bind(Kind::Text.text(&pattern));
            out.push(" escape '!'");
            Ok(())
        }
        Filter::IsOf(name) => {
            out.push(if name == surface.entity() { "1 = 1" } else { "1 = 0" });
            Ok(())
        }
        Filter::Any(property, _) => Err(Unsupported::Property(property.name())),
    }
}

/// The texts that start with one, as a range: an index knows ranges, and none knows patterns under
/// row-level security.
fn write_range(name: &'static str, start: &str, out: &mut Condition) -> std::result::Result<(), Unsupported> {
    out.push("(");
    out.push(name);
    out.push(" >= ");
    out.bind(Kind::Key.text(start));
    out.push(" and ");
    out.push(name);
    out.push(" < ");
    // The last character there is; texts compare byte by byte.
    out.bind(Kind::Key.text(&format!("{start}\u{10ffff}")));
    out.push(")");
    Ok(())
}

fn join(
    surface: Surface,
    parts: &[Filter],
    with: &'static str,
    out: &mut Condition,
) -> std::result::Result<(), Unsupported> {
    out.push("(");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(with);
        }
        write(surface, part, out)?;
    }
    out.push(")");
    Ok(())
}

fn plain(surface: Surface, property: &Property) -> std::result::Result<(&'static str, Kind), Unsupported> {
    match (&property.cast, property.path.as_slice()) {
        (None, [name]) => tested(surface, name),
        (Some(cast), [name]) if cast == surface.entity() => tested(surface, name),
        _ => Err(Unsupported::Property(property.name())),
    }
}

fn compare_column(
    surface: Surface,
    property: &Property,
    compare: Compare,
    literal: &Literal,
    out: &mut Condition,
) -> std::result::Result<(), Unsupported> {
    let (name, kind) = plain(surface, property)?;
    let misfit = || Unsupported::Test(property.name());
    if *literal == Literal::Null {
        match compare {
            Compare::Eq => {
                out.push(name);
                out.push(" is null");
            }
            Compare::Ne => {
                out.push(name);
                out.push(" is not null");
            }
            _ => return Err(misfit()),
        }
        return Ok(());
    }
    let value = match (kind, literal) {
        (kind, Literal::Text(text)) if kind.is_text() => kind.text(text),
        (Kind::Id, Literal::Text(text)) => match Uuid::try_parse(text) {
            Ok(id) => Value::Id(id),
            // No row has such an id.
            Err(_) if compare == Compare::Eq => {
                out.push("1 = 0");
                return Ok(());
            }
            Err(_) if compare == Compare::Ne => {
                out.push("1 = 1");
                return Ok(());
            }
            Err(_) => return Err(misfit()),
        },
        (Kind::Time, Literal::Time(at)) => Value::Int(*at),
        (Kind::Int, Literal::Int(n)) => Value::Int(*n),
        (Kind::Bool, Literal::Bool(b)) => Value::Bool(*b),
        _ => return Err(misfit()),
    };
    let lower = kind == Kind::Text;
    if compare == Compare::Ne {
        out.push("(");
        out.push(name);
        out.push(" is null or ");
    }
    out.push(if lower { "lower(" } else { "" });
    out.push(name);
    out.push(if lower { ")" } else { "" });
    out.push(match compare {
        Compare::Eq => " = ",
        Compare::Ne => " <> ",
        Compare::Gt => " > ",
        Compare::Ge => " >= ",
        Compare::Lt => " < ",
        Compare::Le => " <= ",
    });
    out.bind(value);
    if compare == Compare::Ne {
        out.push(")");
    }
    Ok(())
}

/// One page of the list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Whose names the order uses.
    pub surface: Surface,
    /// What to show.
    pub condition: Option<Condition>,
    /// By what; ids break ties. None: by id.
    pub order: Option<Order>,
    /// Where the last page ended.
    pub after: Option<After>,
    /// Rows to skip (`$skip`; costs what it skips).
    pub skip: i64,
    /// Rows to answer at most.
    pub limit: i64,
}

/// Rows of an index that are walked before all that could match are searched. Walking reads whole
/// rows, so this is what a page may cost in vain; a search reads one narrow index from end to end.
const WALK: i64 = 4_000;

/// The devices of a page. Rows without a value in the sort column come last in both directions.
pub fn page(tx: &mut dyn Tx, tenant: Uuid, page: &Page) -> Result<Vec<Device>> {
    let order = page.order.clone().unwrap_or_else(|| Order { property: "id".into(), descending: false });
    let (name, kind) = match (page.surface, page.order.is_some()) {
        (Surface::Directory, false) => ("id", Kind::Id),
        (surface, _) => column(surface, &order.property)
            .map_err(|error| Error::inconsistent("device_list.order", error.to_string()))?,
    };
    let by = By { name, kind, descending: order.descending };
    let in_nulls = page.after.as_ref().is_some_and(|after| after.key.is_null()) && name != "id";
    if WALKED.contains(&name) && !in_nulls && !page.condition.as_ref().is_some_and(|condition| condition.found) {
        let (text, args) = walk(tenant, page, by);
        let rows = tx.all(&text, &args, map)?;
        // A full page is the first page there is; fewer rows may lack what lies further on.
        if rows.len() as i64 == page.limit || (name == "id" && page.condition.is_none()) {
            return Ok(rows);
        }
    }
    let (text, args) = search(tenant, page, by, in_nulls);
    tx.all(&text, &args, map)
}

/// A sort key.
#[derive(Clone, Copy)]
struct By {
    name: &'static str,
    kind: Kind,
    descending: bool,
}

/// The page as the index of the sort column has it; with a condition, among its first rows only.
fn walk(tenant: Uuid, page: &Page, by: By) -> (String, Vec<Value>) {
    let condition = page.condition.as_ref();
    let mut statement = Statement::new(tenant, condition, SELECT);
    let walked = concat!("select id from (select * from device where ", listed!());
    statement.push(if condition.is_some() { walked } else { concat!("select id from device where ", listed!()) });
    if by.name != "id" {
        statement.push(" and ");
        statement.push(by.name);
        statement.push(" is not null");
    }
    if let Some(after) = &page.after {
        statement.push(" and ");
        statement.behind(by, after);
    }
    if condition.is_some() {
        statement.order(by, true);
        statement.push(" limit ");
        statement.bind(Value::Int(WALK));
        statement.push(") as walked where 1 = 1");
        statement.filter(condition);
    }
    statement.order(by, true);
    statement.end(page, by)
}

/// The page out of all that match, found by a column of the condition or in the index that has what
/// lists filter and sort by most.
fn search(tenant: Uuid, page: &Page, by: By, in_nulls: bool) -> (String, Vec<Value>) {
    let condition = page.condition.as_ref();
    let mut statement = Statement::new(tenant, condition, SELECT);
    statement.push(concat!("select id from device where ", listed!()));
    if let Some(after) = &page.after {
        if in_nulls {
            statement.push(" and ");
            statement.push(by.name);
            statement.push(" is null and ");
            statement.behind(By { name: "id", kind: Kind::Id, ..by }, after);
        } else {
            statement.push(" and (");
            statement.behind(by, after);
            statement.push(" or ");
            statement.push(by.name);
            statement.push(" is null)");
        }
    }
    statement.filter(condition);
    // No index has this order, so none is walked for it.
    statement.order(by, false);
    statement.end(page, by)
}

/// How many devices match.
pub fn count(tx: &mut dyn Tx, tenant: Uuid, condition: Option<&Condition>) -> Result<i64> {
    let mut statement = Statement::new(tenant, condition, concat!("select count(*) from device where ", listed!()));
    statement.filter(condition);
    let (text, args) = (statement.text, statement.args);
    Ok(tx.one(&text, &args, |row| row.int(0))?.unwrap_or(0))
}

/// How many listed devices each operating system has, and how many enrolled in all.
pub fn by_operating_system(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<(String, i64)>> {
    tx.all(
        concat!(
            "select operating_system, count(*) from device where ",
            listed!(),
            " group by operating_system order by operating_system"
        ),
        args![tenant],
        |row| Ok((row.text(0)?, row.int(1)?)),
    )
}

struct Statement {
    text: String,
    args: Vec<Value>,
}

impl Statement {
    /// The condition's parameters are numbered from `$2`, so they come first behind the tenant.
    fn new(tenant: Uuid, condition: Option<&Condition>, start: &'static str) -> Self {
        let mut args = vec![Value::Id(tenant)];
        args.extend(condition.iter().flat_map(|c| c.args.iter().cloned()));
        Statement { text: start.to_owned(), args }
    }
    fn push(&mut self, piece: &'static str) {
        self.text.push_str(piece);
    }
    fn bind(&mut self, value: Value) {
        self.args.push(value);
        self.text.push('$');
        self.text.push_str(&self.args.len().to_string());
    }
    fn filter(&mut self, condition: Option<&Condition>) {
        if let Some(condition) = condition {
            self.push(" and (");
            self.text.push_str(&condition.text);
            self.push(")");
        }
    }
    /// Rows behind a position.
    fn behind(&mut self, by: By, after: &After) {
        self.push("(");
        if by.name != "id" {
            self.push(by.name);
            self.push(", ");
        }
        self.push(if by.descending { "id) < (" } else { "id) > (" });
        if by.name != "id" {
            self.bind(key_value(&after.key, by.kind));
            self.push(", ");
        }
        self.bind(Value::Id(after.id));
        self.push(")");
    }
    /// Rows without a value come last, whatever the direction and whatever the engine thinks.
    fn order(&mut self, by: By, indexed: bool) {
        let direction = if by.descending { " desc" } else { "" };
        self.push(" order by ");
        if by.name != "id" {
            if !indexed {
                self.push("case when ");
                self.push(by.name);
                self.push(" is null then 1 else 0 end, ");
            }
            self.push(by.name);
            self.push(direction);
            self.push(", ");
        }
        self.push("id");
        self.push(direction);
    }
    /// The page's size, and its rows in order.
    fn end(mut self, page: &Page, by: By) -> (String, Vec<Value>) {
        self.push(" limit ");
        self.bind(Value::Int(page.limit));
        if page.skip > 0 {
            self.push(" offset ");
            self.bind(Value::Int(page.skip));
        }
        self.push(")");
        self.order(by, false);
        (self.text, self.args)
    }
}

/// Whole rows are read for the ids of the page only.
const SELECT: &str = concat!("select ", columns!(), " from device where tenant_id = $1 and id in (");

fn key_value(key: &Json, kind: Kind) -> Value {
    match (kind, key) {
        (Kind::Key, Json::String(text)) => kind.text(text),
        // The rows are ordered by the column as it stands, not by what a filter compares.
        (Kind::Text | Kind::Word, Json::String(text)) => Value::Text(text.clone()),
        (Kind::Id, Json::String(text)) => Uuid::try_parse(text).map_or(Value::Null, Value::Id),
        (Kind::Time | Kind::Int, Json::Number(n)) => n.as_i64().map_or(Value::Null, Value::Int),
        (Kind::Bool, Json::Bool(b)) => Value::Bool(*b),
        // A cursor that nobody of us made: compares as unknown, an empty page.
        _ => Value::Null,
    }
}

/// The sort key of a row, for the cursor of the next page.
pub fn key(surface: Surface, device: &Device, order: &Order) -> Json {
    let text = |value: &Option<String>| value.clone().map_or(Json::Null, Json::String);
    let int = |value: Option<i64>| value.map_or(Json::Null, Json::from);
    let name = match surface {
        Surface::Managed => order.property.as_str(),
        Surface::Directory => match order.property.as_str() {
            "id" => return Json::String(device.directory_id.to_string()),
            "deviceId" => "azureADDeviceId",
            "displayName" => "deviceName",
            "operatingSystemVersion" => "osVersion",
            "deviceOwnership" => "ownerType",
            "deviceCategory" => "deviceCategoryDisplayName",
            "approximateLastSignInDateTime" => "lastSyncDateTime",
            "registrationDateTime" => "enrolledDateTime",
            other => other,
        },
    };
    match name {
        "id" => Json::String(device.id.to_string()),
        "deviceName" => Json::String(device.name.clone()),
        "managedDeviceName" => text(&device.managed_device_name),
        "userId" => text(&device.person_id.map(|id| id.to_string())),
        "userPrincipalName" | "emailAddress" => text(&device.user_principal_name),
        "operatingSystem" => Json::String(device.operating_system.clone()),
        "osVersion" => text(&device.os_version),
        "manufacturer" => text(&device.manufacturer),
        "model" => text(&device.model),
        "serialNumber" => text(&device.serial_number),
        "udid" => text(&device.udid),
        "imei" => text(&device.imei),
        "managedDeviceOwnerType" | "ownerType" => Json::String(device.owner_type.clone()),
        "deviceEnrollmentType" => Json::String(device.enrollment_type.clone()),
        "enrollmentProfileName" => text(&device.enrollment_profile_name),
        "managementState" => Json::String(device.management_state.clone()),
        "complianceState" => Json::String(device.compliance_state.clone()),
        "isSupervised" => Json::Bool(device.is_supervised),
        "isEncrypted" => device.is_encrypted.map_or(Json::Null, Json::Bool),
        "deviceCategoryDisplayName" => text(&device.category_name),
        "azureADDeviceId" | "azureActiveDirectoryDeviceId" => Json::String(device.azure_ad_device_id.to_string()),
        "enrolledDateTime" => int(device.enrolled_at),
        "lastSyncDateTime" => int(device.last_sync_at),
        "managementCertificateExpirationDate" => int(device.certificate_expires_at),
        "freeStorageSpaceInBytes" => int(device.free_bytes),
        "totalStorageSpaceInBytes" => int(device.total_bytes),
        "notes" => text(&device.notes),
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_columns::{COLUMNS, DIRECTORY};

    fn property(name: &str) -> Property {
        Property { cast: None, path: vec![name.to_owned()], lower: false }
    }

    #[test]
    fn e15_text_of_a_filter_never_reaches_the_statement() {
        let evil = "x') or 1=1 --";
        let filter = Filter::Or(vec![
            Filter::Compare(property("deviceName"), Compare::Eq, Literal::Text(evil.into())),
            Filter::Text(property("serialNumber"), TextTest::Contains, "50%_!".into()),
        ]);
        let condition = condition(Surface::Managed, &filter).unwrap();
        assert_eq!(condition.text, "(name_key = $2 or (serial_number_key) like $3 escape '!')");
        assert_eq!(condition.args[1], Value::Text("%50!%!_!!%".into()));
        let unknown = Filter::Compare(property("name; drop table device"), Compare::Eq, Literal::Int(1));
        assert!(matches!(super::condition(Surface::Managed, &unknown), Err(Unsupported::Property(_))));
    }

    #[test]
    fn every_sortable_property_has_a_key() {
        let device = Device {
            managed_device_name: Some("m".into()),
            person_id: Some(Uuid::from_u128(1)),
            user_principal_name: Some("u".into()),
            os_version: Some("1".into()),
            manufacturer: Some("a".into()),
            model: Some("m".into()),
            serial_number: Some("s".into()),
            udid: Some("u".into()),
            imei: Some("i".into()),
            enrollment_profile_name: Some("e".into()),
            is_encrypted: Some(true),
            category_name: Some("c".into()),
            notes: Some("n".into()),
            free_bytes: Some(1),
            total_bytes: Some(2),
            enrolled_at: Some(1),
            last_sync_at: Some(1),
            certificate_expires_at: Some(1),
            ..Device::default()
        };
        for (surface, columns) in [(Surface::Managed, COLUMNS), (Surface::Directory, DIRECTORY)] {
            for (name, _, kind) in columns {
                let order = Order { property: (*name).to_owned(), descending: false };
                let key = key(surface, &device, &order);
                assert!(!key.is_null(), "{name}");
                assert_ne!(key_value(&key, *kind), Value::Null, "{name}");
            }
        }
    }
}
