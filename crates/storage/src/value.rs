//! Values that cross into SQL and rows that come back.

use uuid::Uuid;

use crate::Error;

/// One bound parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL null.
    Null,
    /// boolean; 0 or 1 on SQLite.
    Bool(bool),
    /// bigint: counts and unix milliseconds.
    Int(i64),
    /// text.
    Text(String),
    /// bytea or BLOB.
    Bytes(Vec<u8>),
    /// uuid; 16 bytes on SQLite.
    Id(Uuid),
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr),+ $(,)?) => {
        $(impl From<$from> for Value { fn from($v: $from) -> Self { $to } })+
    };
}
value_from! {
    bool => |v| Value::Bool(v),
    i64 => |v| Value::Int(v),
    i32 => |v| Value::Int(v.into()),
    u32 => |v| Value::Int(v.into()),
    String => |v| Value::Text(v),
    &String => |v| Value::Text(v.clone()),
    &str => |v| Value::Text(v.to_owned()),
    Vec<u8> => |v| Value::Bytes(v),
    &Vec<u8> => |v| Value::Bytes(v.clone()),
    &[u8] => |v| Value::Bytes(v.to_vec()),
    [u8; 32] => |v| Value::Bytes(v.to_vec()),
    &[u8; 32] => |v| Value::Bytes(v.to_vec()),
    Uuid => |v| Value::Id(v),
    &Uuid => |v| Value::Id(*v),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row of an answer. Columns count from 0; a wrong type or an unexpected null is an
/// [`Error::Inconsistent`] that names the column.
pub trait Row {
    /// The raw value of a column.
    fn value(&self, column: usize) -> Result<Value, Error>;
    /// True where the column is null.
    fn is_null(&self, column: usize) -> Result<bool, Error>;
    /// uuid.
    fn id(&self, column: usize) -> Result<Uuid, Error>;
    /// bigint.
    fn int(&self, column: usize) -> Result<i64, Error>;
    /// text.
    fn text(&self, column: usize) -> Result<String, Error>;
    /// bytea.
    fn bytes(&self, column: usize) -> Result<Vec<u8>, Error>;
    /// boolean.
    fn bool(&self, column: usize) -> Result<bool, Error>;
    /// uuid or null.
    fn opt_id(&self, column: usize) -> Result<Option<Uuid>, Error> {
        if self.is_null(column)? { Ok(None) } else { self.id(column).map(Some) }
    }
    /// bigint or null.
    fn opt_int(&self, column: usize) -> Result<Option<i64>, Error> {
        if self.is_null(column)? { Ok(None) } else { self.int(column).map(Some) }
    }
    /// text or null.
    fn opt_text(&self, column: usize) -> Result<Option<String>, Error> {
        if self.is_null(column)? { Ok(None) } else { self.text(column).map(Some) }
    }
    /// bytea or null.
    fn opt_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Error> {
        if self.is_null(column)? { Ok(None) } else { self.bytes(column).map(Some) }
    }
    /// boolean or null.
    fn opt_bool(&self, column: usize) -> Result<Option<bool>, Error> {
        if self.is_null(column)? { Ok(None) } else { self.bool(column).map(Some) }
    }
}

/// Builds a parameter list: `args![tenant, id, "text", 5]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::Value::from($value)),*][..] };
}
