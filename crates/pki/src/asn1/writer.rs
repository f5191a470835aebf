//! Functions that build DER values bottom up.

use const_oid::ObjectIdentifier;

use super::tag;

/// One element from its identifier octet and content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match content.len() {
        short @ 0..0x80 => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
            out.push(0x80 | (bytes.len() - skip) as u8);
            out.extend_from_slice(&bytes[skip..]);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of the given elements.
pub fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &elements.concat())
}

/// SET of the given elements in the given order (one element, or an order that is already DER's).
pub fn set(elements: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SET, &elements.concat())
}

/// Content of a SET OF in DER's order; the caller chooses the identifier octet.
pub fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    elements.concat()
}

/// `[number] EXPLICIT`, or a constructed implicit one.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(tag::context(number), content)
}

/// `[number] IMPLICIT` of a primitive type.
pub fn context_bytes(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(tag::context_primitive(number), content)
}

/// BOOLEAN
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(tag::BOOLEAN, &[if value { 0xff } else { 0 }])
}

/// Non-negative INTEGER from big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
    let digits = &bytes[skip..];
    match digits.first() {
        None => tlv(tag::INTEGER, &[0]),
        Some(first) if first & 0x80 != 0 => tlv(tag::INTEGER, &[&[0], digits].concat()),
        Some(_) => tlv(tag::INTEGER, digits),
    }
}

/// Non-negative INTEGER from a number.
pub fn integer_i64(value: i64) -> Vec<u8> {
    integer(&value.max(0).to_be_bytes())
}

/// BIT STRING of whole octets.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, &[&[0], bytes].concat())
}

/// OCTET STRING
pub fn octet_string(bytes: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, bytes)
}

/// NULL
pub fn null() -> Vec<u8> {
    tlv(tag::NULL, &[])
}

/// OBJECT IDENTIFIER
pub fn oid(value: ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OID, value.as_bytes())
}

/// UTF8String
pub fn utf8_string(text: &str) -> Vec<u8> {
    tlv(tag::UTF8_STRING, text.as_bytes())
}

/// PrintableString; the caller knows that the characters fit.
pub fn printable_string(text: &str) -> Vec<u8> {
    tlv(tag::PRINTABLE_STRING, text.as_bytes())
}

/// IA5String; the caller knows that the characters fit.
pub fn ia5_string(text: &str) -> Vec<u8> {
    tlv(tag::IA5_STRING, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_shortest_and_positive() {
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[]), [2, 1, 0]);
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(tlv(4, &[0; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(tlv(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(tlv(4, &[0; 0x100])[..4], [4, 0x82, 1, 0]);
    }
}
