//! What a product name and a version text tell.

/// What the maker's identifier tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// `iPhone`, `iPad`, `Mac`, ...
    pub(super) family: &'static str,
    /// `iOS`, `iPadOS`, `macOS`, ...
    pub(super) platform: &'static str,
}

impl Model {
    /// Of a `ProductName` such as `iPhone14,5` or `MacBookPro18,3`.
    pub(super) fn of(product: &str) -> Self {
        let (family, platform) = match product {
            p if p.starts_with("iPad") => ("iPad", "iPadOS"),
            p if p.starts_with("iPhone") || p.starts_with("iPod") => ("iPhone", "iOS"),
            p if p.starts_with("AppleTV") => ("AppleTV", "tvOS"),
            p if p.starts_with("Watch") => ("Watch", "watchOS"),
            p if p.starts_with("RealityDevice") => ("Vision", "visionOS"),
            p if p.contains("Mac") || p.starts_with("VirtualMac") => ("Mac", "macOS"),
            _ => ("iPhone", "iOS"),
        };
        Model { family, platform }
    }
}

/// The first number of a version text; 0 where there is none.
pub(super) fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|part| part.trim().parse().ok()).unwrap_or(0)
}

/// Month, day and year, as device names carry them.
pub(super) fn date(now: i64) -> String {
    jiff::Timestamp::from_millisecond(now)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%m/%d/%Y").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_names_tell_the_platform() {
        for (product, platform) in [
            ("iPhone14,5", "iOS"),
            ("iPad13,4", "iPadOS"),
            ("MacBookPro18,3", "macOS"),
            ("Mac14,2", "macOS"),
            ("VirtualMac2,1", "macOS"),
        ] {
            assert_eq!(Model::of(product).platform, platform);
        }
        assert_eq!((major("17.4.1"), major(""), major("26")), (17, 0, 26));
    }
}
