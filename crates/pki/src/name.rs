//! [`Name`]: distinguished names (RFC 5280 section 4.1.2.4), kept as the bytes they came in.

use std::fmt;

use const_oid::ObjectIdentifier;

use crate::{
    Error, Result,
    asn1::{self, Element, Reader, tag},
    oid,
};

/// Relative names that are looked at; longer names are refused.
const MOST: usize = 32;

/// A distinguished name. Two names are equal when their bytes are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    der: Vec<u8>,
}

impl Name {
    /// One relative name per pair, in this order.
    pub fn new(parts: &[(ObjectIdentifier, &str)]) -> Self {
        let content: Vec<u8> = parts
            .iter()
            .flat_map(|(kind, text)| {
                let printable = text.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
                let value = match *kind {
                    oid::COUNTRY | oid::SERIAL_NUMBER if printable => asn1::printable_string(text),
                    oid::EMAIL_ADDRESS | oid::DOMAIN_COMPONENT if text.is_ascii() => asn1::ia5_string(text),
                    _ => asn1::utf8_string(text),
                };
                asn1::set(&[&asn1::sequence(&[&asn1::oid(*kind), &value])])
            })
            .collect();
        Name { der: asn1::tlv(tag::SEQUENCE, &content) }
    }

    /// Only a common name.
    pub fn common(text: &str) -> Self {
        Name::new(&[(oid::COMMON_NAME, text)])
    }

    /// Decodes a `Name`.
    pub fn decode(der: &[u8]) -> Result<Self> {
        let name = Name { der: der.to_vec() };
        name.parts()?;
        Ok(name)
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        Name::decode(element.bytes)
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// True for a name without any part.
    pub fn is_empty(&self) -> bool {
        self.parts().is_ok_and(|parts| parts.is_empty())
    }

    /// All attribute types and values in their order; values that are no text are left out.
    fn parts(&self) -> Result<Vec<(ObjectIdentifier, Option<String>)>> {
        let mut outer = Reader::new(&self.der);
        let mut relative = outer.sequence("name")?;
        outer.finish()?;
        let mut parts = Vec::new();
        while !relative.is_empty() {
            let mut set = relative.set("relative name")?;
            while !set.is_empty() {
                let mut pair = set.sequence("name attribute")?;
                let kind = pair.oid()?;
                let value = pair.any()?;
                pair.finish()?;
                parts.push((kind, value.text().ok()));
                if parts.len() > MOST {
                    return Err(Error::Malformed("name"));
                }
            }
        }
        Ok(parts)
    }

    /// Attribute types and textual values.
    pub fn attributes(&self) -> Vec<(ObjectIdentifier, String)> {
        let parts = self.parts().unwrap_or_default();
        parts.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect()
    }

    /// The last value of an attribute type.
    pub fn get(&self, kind: ObjectIdentifier) -> Option<String> {
        self.attributes().into_iter().rev().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Name({self})")
    }
}

/// For people: `CN=..., O=...`.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, value)) in self.attributes().into_iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let label = match kind {
                oid::COMMON_NAME => "CN".to_owned(),
                oid::SERIAL_NUMBER => "serialNumber".to_owned(),
                oid::COUNTRY => "C".to_owned(),
                oid::LOCALITY => "L".to_owned(),
                oid::STATE => "ST".to_owned(),
                oid::ORGANIZATION => "O".to_owned(),
                oid::ORGANIZATIONAL_UNIT => "OU".to_owned(),
                oid::EMAIL_ADDRESS => "emailAddress".to_owned(),
                oid::USER_ID => "UID".to_owned(),
                oid::DOMAIN_COMPONENT => "DC".to_owned(),
                other => other.to_string(),
            };
            write!(formatter, "{separator}{label}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_and_answer_their_parts() {
        let name = Name::new(&[(oid::COUNTRY, "DE"), (oid::ORGANIZATION, "Bäckerei"), (oid::COMMON_NAME, "iPhone 1")]);
        assert_eq!(name.to_string(), "C=DE, O=Bäckerei, CN=iPhone 1");
        assert_eq!(Name::decode(name.der()).unwrap(), name);
        assert_eq!(name.get(oid::ORGANIZATION).as_deref(), Some("Bäckerei"));
        assert_eq!(name.get(oid::EMAIL_ADDRESS), None);
        assert!(Name::new(&[]).is_empty() && !name.is_empty());
    }
}
