//! Parameters into PostgreSQL's types and columns out of them.

use std::error::Error as StdError;

use postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use uuid::Uuid;

use crate::{Error, Row, Value};

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Bool(value), &Type::BOOL) => value.to_sql(ty, out),
            (Value::Int(value), &Type::INT8) => value.to_sql(ty, out),
            (Value::Int(value), &Type::INT4) => i32::try_from(*value)?.to_sql(ty, out),
            (Value::Text(value), _) if <&str as ToSql>::accepts(ty) => value.to_sql(ty, out),
            (Value::Bytes(value), &Type::BYTEA) => value.to_sql(ty, out),
            (Value::Id(value), &Type::UUID) => value.to_sql(ty, out),
            (Value::Id(value), &Type::BYTEA) => value.as_bytes().as_slice().to_sql(ty, out),
            (value, ty) => Err(format!("a {} where the statement takes {ty}", kind(value)).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The kind of a parameter, without its content.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "number",
        Value::Text(_) => "text",
        Value::Bytes(_) => "byte string",
        Value::Id(_) => "id",
    }
}

/// A row of an answer.
pub(super) struct PgRow<'r>(pub(super) &'r postgres::Row);

impl PgRow<'_> {
    fn ty(&self, column: usize) -> Result<&Type, Error> {
        let columns = self.0.columns();
        let found = columns.get(column).map(postgres::Column::type_);
        found.ok_or_else(|| Error::inconsistent(format!("column {column}"), "there is none".to_owned()))
    }

    fn get<'a, T: postgres::types::FromSql<'a>>(&'a self, column: usize) -> Result<T, Error> {
        self.0.try_get(column).map_err(|error| {
            let place =
                self.0.columns().get(column).map_or_else(|| format!("column {column}"), |c| c.name().to_owned());
            let what = StdError::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::inconsistent(place, what)
        })
    }
}

impl Row for PgRow<'_> {
    fn value(&self, column: usize) -> Result<Value, Error> {
        if self.is_null(column)? {
            return Ok(Value::Null);
        }
        match *self.ty(column)? {
            Type::BOOL => self.bool(column).map(Value::Bool),
            Type::INT2 | Type::INT4 | Type::INT8 => self.int(column).map(Value::Int),
            Type::BYTEA => self.bytes(column).map(Value::Bytes),
            Type::UUID => self.id(column).map(Value::Id),
            _ => self.text(column).map(Value::Text),
        }
    }

    fn is_null(&self, column: usize) -> Result<bool, Error> {
        /// Looks at nothing but whether there is something.
        struct Something;
        impl postgres::types::FromSql<'_> for Something {
            fn from_sql(_: &Type, _: &[u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
                Ok(Something)
            }
            fn accepts(_: &Type) -> bool {
                true
            }
        }
        Ok(self.get::<Option<Something>>(column)?.is_none())
    }

    fn id(&self, column: usize) -> Result<Uuid, Error> {
        self.get(column)
    }

    fn int(&self, column: usize) -> Result<i64, Error> {
        match *self.ty(column)? {
            Type::INT2 => self.get::<i16>(column).map(i64::from),
            Type::INT4 => self.get::<i32>(column).map(i64::from),
            _ => self.get(column),
        }
    }

    fn text(&self, column: usize) -> Result<String, Error> {
        self.get(column)
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        self.get(column)
    }

    fn bool(&self, column: usize) -> Result<bool, Error> {
        self.get(column)
    }
}
