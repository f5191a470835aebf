//! The certificate extensions we read (RFC 5280 section 4.2).

use std::net::IpAddr;

use crate::{
    Error, Result,
    asn1::{self, Element, Reader, tag},
    oid::{self, Oid},
};

/// Extensions and list entries that are looked at; more are refused.
const MOST: usize = 64;

/// One entry of a subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AlternativeName {
    /// rfc822Name
    Email(String),
    /// dNSName
    Dns(String),
    /// uniformResourceIdentifier
    Uri(String),
    /// iPAddress
    Ip(IpAddr),
    /// otherName with the user principal name
    UserPrincipalName(String),
}

impl AlternativeName {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            AlternativeName::Email(text) => asn1::context_bytes(1, text.as_bytes()),
            AlternativeName::Dns(text) => asn1::context_bytes(2, text.as_bytes()),
            AlternativeName::Uri(text) => asn1::context_bytes(6, text.as_bytes()),
            AlternativeName::Ip(IpAddr::V4(address)) => asn1::context_bytes(7, &address.octets()),
            AlternativeName::Ip(IpAddr::V6(address)) => asn1::context_bytes(7, &address.octets()),
            AlternativeName::UserPrincipalName(text) => asn1::context(
                0,
                &[asn1::oid(oid::USER_PRINCIPAL_NAME), asn1::context(0, &asn1::utf8_string(text))].concat(),
            ),
        }
    }

    /// None for a kind we do not know.
    fn decode(element: &Element<'_>) -> Result<Option<Self>> {
        let text = || match std::str::from_utf8(element.content) {
            Ok(text) if text.is_ascii() => Ok(text.to_owned()),
            _ => Err(Error::Malformed("alternative name")),
        };
        Ok(Some(match element.tag {
            0x81 => AlternativeName::Email(text()?),
            0x82 => AlternativeName::Dns(text()?),
            0x86 => AlternativeName::Uri(text()?),
            0x87 => match (<[u8; 4]>::try_from(element.content), <[u8; 16]>::try_from(element.content)) {
                (Ok(octets), _) => AlternativeName::Ip(octets.into()),
                (_, Ok(octets)) => AlternativeName::Ip(octets.into()),
                _ => return Err(Error::Malformed("alternative name")),
            },
            0xa0 => {
                let mut other = element.reader();
                if other.oid()? != oid::USER_PRINCIPAL_NAME {
                    return Ok(None);
                }
                let value = other.expect(tag::context(0), "alternative name")?;
                AlternativeName::UserPrincipalName(Element::decode(value.content)?.text()?)
            }
            _ => return Ok(None),
        }))
    }
}

/// Key usage bits (RFC 5280 section 4.2.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage(u8);

impl KeyUsage {
    /// digitalSignature
    pub const DIGITAL_SIGNATURE: KeyUsage = KeyUsage(0x80);
    /// keyEncipherment
    pub const KEY_ENCIPHERMENT: KeyUsage = KeyUsage(0x20);
    /// keyCertSign
    pub const CERTIFICATE_SIGN: KeyUsage = KeyUsage(0x04);
    /// cRLSign
    pub const CRL_SIGN: KeyUsage = KeyUsage(0x02);

    /// Both.
    pub const fn and(self, other: KeyUsage) -> KeyUsage {
        KeyUsage(self.0 | other.0)
    }

    /// True where all bits of `other` are set.
    pub const fn has(self, other: KeyUsage) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let unused = self.0.trailing_zeros().min(7) as u8;
        asn1::tlv(tag::BIT_STRING, &[unused, self.0])
    }
}

/// What the extensions of a certificate or a request say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// basicConstraints says CA, with its path length.
    pub authority: Option<Option<u32>>,
    /// keyUsage
    pub key_usage: Option<KeyUsage>,
    /// extendedKeyUsage
    pub extended_key_usage: Vec<Oid>,
    /// subjectAltName; kinds we do not know are left out.
    pub alternative_names: Vec<AlternativeName>,
    /// subjectKeyIdentifier
    pub subject_key_identifier: Option<Vec<u8>>,
    /// authorityKeyIdentifier, its keyIdentifier
    pub authority_key_identifier: Option<Vec<u8>>,
    /// A critical extension that we do not know: such a certificate cannot be relied on.
    pub unknown_critical: bool,
}

impl Extensions {
    /// Decodes `Extensions`.
    pub(crate) fn decode(element: &Element<'_>) -> Result<Self> {
        let mut list = Reader::new(element.bytes).sequence("extensions")?;
        let mut found = Extensions::default();
        let mut seen = Vec::new();
        while !list.is_empty() {
            let mut extension = list.sequence("extension")?;
            let kind = extension.oid()?;
            let critical = extension.optional(tag::BOOLEAN)?.is_some_and(|value| value.content == [0xff]);
            let value = extension.expect(tag::OCTET_STRING, "extension")?.content;
            extension.finish()?;
            if seen.contains(&kind) || seen.len() >= MOST {
                return Err(Error::Malformed("extensions"));
            }
            seen.push(kind);
            found.read(kind, critical, value)?;
        }
        Ok(found)
    }

    fn read(&mut self, kind: Oid, critical: bool, value: &[u8]) -> Result<()> {
        let mut outer = Reader::new(value);
        match kind {
            oid::BASIC_CONSTRAINTS => {
                let mut parts = outer.sequence("basic constraints")?;
                let authority = parts.optional(tag::BOOLEAN)?.is_some_and(|value| value.content == [0xff]);
                let length = parts.optional(tag::INTEGER)?.map(|value| value.small_integer()).transpose()?;
                parts.finish()?;
                self.authority = authority.then_some(length);
            }
            oid::KEY_USAGE => {
                let [_unused, bits, ..] = outer.expect(tag::BIT_STRING, "key usage")?.content else {
                    return Err(Error::Malformed("key usage"));
                };
                self.key_usage = Some(KeyUsage(*bits));
            }
            oid::EXTENDED_KEY_USAGE => {
                let mut usages = outer.sequence("extended key usage")?;
                while !usages.is_empty() {
                    self.extended_key_usage.push(usages.oid()?);
                    if self.extended_key_usage.len() > MOST {
                        return Err(Error::Malformed("extended key usage"));
                    }
                }
            }
            oid::SUBJECT_ALTERNATIVE_NAME => {
                let mut names = outer.sequence("alternative names")?;
                while !names.is_empty() {
                    self.alternative_names.extend(AlternativeName::decode(&names.any()?)?);
                    if self.alternative_names.len() > MOST {
                        return Err(Error::Malformed("alternative names"));
                    }
                }
            }
            oid::SUBJECT_KEY_IDENTIFIER => {
                self.subject_key_identifier = Some(outer.expect(tag::OCTET_STRING, "key identifier")?.content.to_vec());
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                let mut parts = outer.sequence("key identifier")?;
                let identifier = parts.optional(tag::context_primitive(0))?;
                self.authority_key_identifier = identifier.map(|value| value.content.to_vec());
            }
            _ => {
                self.unknown_critical |= critical;
                return Ok(());
            }
        }
        outer.finish()
    }
}
