//! What a device is made of: family, model, serial numbers, operating system.

use crate::random::Seeded;

/// The families this swarm simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// iPhone (iOS)
    IPhone,
    /// iPad (iPadOS)
    IPad,
    /// Mac (macOS)
    Mac,
}

impl Family {
    /// `model-family` of discovery and of `device.model.family`.
    pub fn word(self) -> &'static str {
        match self {
            Family::IPhone => "iPhone",
            Family::IPad => "iPad",
            Family::Mac => "Mac",
        }
    }
    /// True for macOS.
    pub fn is_mac(self) -> bool {
        self == Family::Mac
    }
}

/// A version of an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Reads `17.4` or `17.4.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse::<u16>);
        let major = parts.next()?.ok()?;
        let minor = parts.next().unwrap_or(Ok(0)).ok()?;
        Some(Version(major, minor, parts.next().unwrap_or(Ok(0)).ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.2 {
            0 => write!(f, "{}.{}", self.0, self.1),
            patch => write!(f, "{}.{}.{patch}", self.0, self.1),
        }
    }
}

/// Models by family: product name, marketing name, part number, newest major version it starts with.
const MODELS: &[(Family, &str, &str, &str)] = &[
    (Family::IPhone, "iPhone12,8", "iPhone SE", "MX9R2"),
    (Family::IPhone, "iPhone13,2", "iPhone 12", "MGJ53"),
    (Family::IPhone, "iPhone14,5", "iPhone 13", "MLPF3"),
    (Family::IPhone, "iPhone15,4", "iPhone 15", "MTP03"),
    (Family::IPhone, "iPhone17,3", "iPhone 16", "MYE73"),
    (Family::IPad, "iPad11,6", "iPad", "MYL92"),
    (Family::IPad, "iPad13,16", "iPad Air", "MM9C3"),
    (Family::IPad, "iPad14,3", "iPad Pro", "MNXD3"),
    (Family::Mac, "MacBookAir10,1", "MacBook Air", "MGN63"),
    (Family::Mac, "MacBookPro18,3", "MacBook Pro", "MKGR3"),
    (Family::Mac, "Mac14,2", "MacBook Air", "MLY33"),
    (Family::Mac, "Macmini9,1", "Mac mini", "MGNR3"),
];

/// A device as it left the factory, with the system it runs now.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// Family.
    pub family: Family,
    /// `iPhone15,4`
    pub product_name: String,
    /// `iPhone 15`
    pub model_name: String,
    /// Part number as `Model`.
    pub model: String,
    /// UDID: 8-16 hexadecimal on current phones, a UUID on Macs.
    pub udid: String,
    /// Serial number.
    pub serial: String,
    /// IMEI of the first radio.
    pub imei: Option<String>,
    /// Wi-Fi address.
    pub wifi_mac: String,
    /// Bluetooth address.
    pub bluetooth_mac: String,
    /// Capacity in GB.
    pub capacity: f64,
    /// Operating system.
    pub system: Version,
    /// Build of it.
    pub build: String,
}

impl Hardware {
    /// A device of the family with the system given, all else drawn.
    pub fn draw(family: Family, system: Version, random: &mut Seeded) -> Self {
        let models: Vec<_> = MODELS.iter().filter(|model| model.0 == family).collect();
        let (_, product, name, model) = **random.pick(&models);
        let serial = random.text("0123456789CDFGHJKLMNPQRTVWXY", 10);
        let udid = match family {
            Family::Mac => random.uuid(),
            _ => format!("0000{}-00{}", random.text("0123456789ABCDEF", 4), random.text("0123456789ABCDEF", 14)),
        };
        Hardware {
            family,
            product_name: product.into(),
            model_name: name.into(),
            model: model.into(),
            udid,
            serial,
            imei: (family == Family::IPhone).then(|| imei(random)),
            wifi_mac: mac(random),
            bluetooth_mac: mac(random),
            capacity: *random.pick(&[64.0, 128.0, 256.0, 512.0]),
            system,
            build: build(family, system, random),
        }
    }

    /// A system of the years 14 to 26 that people really run, newer ones more often.
    pub fn draw_system(family: Family, random: &mut Seeded) -> Version {
        let ios = [(26, 1), (26, 0), (18, 6), (18, 5), (18, 3), (17, 7), (16, 7), (15, 8), (14, 8)];
        let macos = [(26, 1), (26, 0), (15, 6), (15, 3), (14, 7), (14, 4)];
        let table: &[(u16, u16)] = if family.is_mac() { &macos } else { &ios };
        let at = random.below(table.len() as u64).min(random.below(table.len() as u64)) as usize;
        Version(table[at].0, table[at].1, 0)
    }
}

fn mac(random: &mut Seeded) -> String {
    let bytes = random.bytes(5);
    format!("3c:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4])
}

fn imei(random: &mut Seeded) -> String {
    let mut digits: Vec<u32> =
        "35".chars().chain(random.text("0123456789", 12).chars()).filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { *digit } else { (digit * 2) / 10 + (digit * 2) % 10 })
        .sum();
    digits.push((10 - sum % 10) % 10);
    let text: String = digits.iter().map(u32::to_string).collect();
    format!("{} {} {} {}", &text[..2], &text[2..8], &text[8..14], &text[14..])
}

fn build(family: Family, system: Version, random: &mut Seeded) -> String {
    // Darwin's year: iOS 14 is 18, macOS 14 is 23; the names jumped to the year 26 in between.
    let darwin = match (family.is_mac(), system.0) {
        (false, 26..) => 23,
        (false, major) => major + 4,
        (true, 26..) => 25,
        (true, major) => major + 9,
    };
    let letter = (b'A' + system.1.min(25) as u8) as char;
    format!("{darwin}{letter}{}", 50 + random.below(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_devices_differ_and_are_well_formed() {
        let mut random = Seeded::new(1);
        let phone = Hardware::draw(Family::IPhone, Version(17, 4, 1), &mut random);
        let mac = Hardware::draw(Family::Mac, Version(15, 3, 0), &mut random);
        assert_eq!(phone.system.to_string(), "17.4.1");
        assert_eq!(phone.udid.len(), 25);
        assert_eq!(mac.udid.len(), 36);
        assert!(phone.build.starts_with("21E") && mac.build.starts_with("24D"), "{} {}", phone.build, mac.build);
        assert_eq!(phone.imei.as_ref().map(|imei| imei.len()), Some(18));
        assert_ne!(phone.serial, mac.serial);
    }

    #[test]
    fn versions_order_by_number() {
        assert!(Version::parse("9.3") < Version::parse("26.0"));
        assert_eq!(Version::parse("17.4.1"), Some(Version(17, 4, 1)));
        assert_eq!(Version::parse("x"), None);
    }
}
