//! The engine against examples, against its errors and bounds, and against the reference evaluator.

use proptest::prelude::*;

use super::{
    reference::{Person, Spelling, any_meant, any_person},
    vocabulary::{FILTER_APPS, FILTER_DEVICES, filter_properties},
    *,
};

fn facts(person: &Person) -> Facts {
    let mut facts = Facts::default();
    facts.text("department", Some(&person.department));
    facts.text("city", Some(&person.city));
    facts.flag("accountEnabled", person.enabled);
    facts.texts("otherMails", person.mails.iter().map(String::as_str));
    facts
}

fn sales() -> Facts {
    let mut facts = Facts::default();
    facts.text("department", Some("Sales"));
    facts.text("displayName", Some("David O'Brien"));
    facts.flag("accountEnabled", Some(true));
    facts.texts("proxyAddresses", ["SMTP:david@contoso.com", "smtp:dave@example.org"]);
    facts
}

fn holds(rule: &str) -> bool {
    membership(rule).unwrap_or_else(|error| panic!("{rule}: {error}")).1.matches(&sales())
}

#[test]
fn the_directorys_examples_mean_what_it_says() {
    for rule in [
        r#"user.department -eq "Sales""#,
        r#"(user.department eq "sales") and (user.accountEnabled eq true)"#,
        r#"user.displayName -match "Da.*""#,
        r#"user.displayName -eq "David O''Brien""#,
        r#"user.displayName -eq 'David O''Brien'"#,
        r#"user.department -in ["Marketing","SALES"]"#,
        r#"(user.proxyAddresses -any (_ -contains "contoso"))"#,
        r#"user.proxyAddresses -any _ -endsWith "x" -or user.city -eq null"#.replace("-endsWith", "-startsWith").as_str(),
        r#"user.proxyAddresses -all (_ -startsWith "smtp:" -and _ -ne null)"#,
        r#"user.proxyAddresses -startsWith "smtp:dave""#,
        r#"user.otherMails -all (_ -eq "x")"#,
        r#"user.objectId -eq $null -and -not (user.city -ne null)"#,
        r#"user.city -notContains "Berlin""#,
        r#"user.city -eq """#,
        // -and binds tighter than -or, -not tighter than both, a comparison tightest.
        r#"user.department -eq "Sales" -or user.city -eq "x" -and user.city -eq "y""#,
        r#"-not user.city -eq "x" -and user.department -eq "Sales""#,
    ] {
        assert!(holds(rule), "{rule}");
    }
    for rule in [
        r#"user.displayName -match "avid""#,
        r#"user.department -ne "sales""#,
        r#"user.proxyAddresses -notContains "contoso""#,
        r#"user.otherMails -any (_ -ne "x")"#,
        r#"(user.department -eq "Sales" -or user.city -eq "x") -and user.city -eq "y""#,
    ] {
        assert!(!holds(rule), "{rule}");
    }
}

#[test]
fn a_rule_is_about_users_or_devices() {
    assert_eq!(membership(r#"user.objectId -ne null"#).unwrap().0, Members::Users);
    assert_eq!(membership(r#"(Device.deviceOwnership -eq "Company")"#).unwrap().0, Members::Devices);
    let error = membership(r#"device.displayName -eq "a" -or user.city -eq "b""#).unwrap_err();
    assert_eq!(error.to_string(), "at character 32: this rule is about device.*; user.city cannot stand in it");
}

#[test]
fn errors_name_the_character_and_what_would_be_right() {
    let error = |rule: &str| membership(rule).unwrap_err().to_string();
    for (rule, said) in [
        (r#"user.department "Sales""#, "at character 17: expected an operator such as -eq"),
        ("user.department", "at character 16: expected an operator such as -eq"),
        (r#"user.department -like "x""#, "at character 17: expected an operator such as -eq, "),
        ("user.department -eq Sales", "at character 21: expected a text in quotes, such as \"Sales\""),
        (r#"user.department -eq "Sales"#, "at character 21: the text that begins here is never closed"),
        (r#"(user.department -eq "Sales""#, "at character 1: this parenthesis is never closed"),
        (r#"user.department -eq "Sales")"#, "at character 28: there is no opening parenthesis"),
        (r#"user.department -eq "a" user.city -eq "b""#, "at character 25: expected -and, -or or the end"),
        (r#"user.departmnt -eq "a""#, "at character 1: there is no property user.departmnt"),
        ("user.accountEnabled -eq 1", "at character 25: expected true or false"),
        (r#"user.accountEnabled -contains "t""#, "at character 21: this property takes -eq, -ne; not -contains"),
        (r#"user.department -contains null"#, "at character 27: null can only be compared"),
        (r#"user.department -in "a""#, "at character 21: expected a list"),
        (r#"user.department -in ["a" "b"]"#, "at character 26: expected a comma or the end of the list"),
        (r#"user.department -match "(""#, "at character 24: this pattern is no regular expression: unclosed group"),
        (r#"user.department -match "a)|(b""#, "at character 24: this pattern is no regular expression"),
        (r#"device.deviceOwnership -eq "Corporate""#, "at character 28: this property is one of Personal, Company"),
        (r#"user.otherMails -any (user.city -eq "a")"#, "at character 23: expected _"),
        (r#"Direct Reports for "62e19b97""#, "at character 1: rules on direct reports"),
        (r#"user.memberOf -any (group.objectId -in ["a"])"#, "at character 1: rules on user.memberOf"),
        ("", "at character 1: expected a rule such as user.department -eq"),
        ("   ", "at character 1: expected a rule such as"),
        ("user.city ; drop", "at character 11: the character ';' has no meaning here"),
        ("ä \u{1F600}", "at character 3: the character"),
    ] {
        assert!(error(rule).starts_with(said), "{rule}: {}", error(rule));
    }
}

#[test]
fn lengths_depths_and_patterns_are_bounded() {
    let long = format!(r#"user.city -eq "{}""#, "x".repeat(MAX_LENGTH));
    assert_eq!(membership(&long).unwrap_err().at, MAX_LENGTH + 1);
    let nested = |n: usize| format!("{}user.city -eq null{}", "(".repeat(n), ")".repeat(n));
    assert!(membership(&nested(MAX_DEPTH)).is_ok());
    assert!(membership(&nested(MAX_DEPTH + 1)).unwrap_err().message.contains("50 levels"));
    assert!(membership(&nested(1500)).unwrap_err().message.contains("50 levels"));
    assert!(
        membership(&format!("{}user.city -eq null", "not ".repeat(700))).unwrap_err().message.contains("50 levels")
    );
    // Side by side is no depth.
    let wide = vec!["user.city -eq null"; 139].join(" or ");
    assert!(membership(&wide).is_ok());
    let patterns = vec!["user.city -match \"a\""; MAX_PATTERNS + 1].join(" or ");
    assert!(membership(&patterns).unwrap_err().message.contains("patterns"));
}

/// A backtracking engine needs 2^64 steps for this; a pattern that would not fit in memory is refused.
#[test]
fn e14_patterns_run_in_linear_time_and_bounded_space() {
    let rule = membership(r#"user.city -match "(a+)+$""#).unwrap().1;
    let mut facts = Facts::default();
    facts.text("city", Some(&format!("{}b", "a".repeat(5_000))));
    assert!(!rule.matches(&facts));
    for pattern in ["(a{100}){100}{100}", "[\\w]{5000}", "((((a{9}){9}){9}){9}){9}"] {
        let error = membership(&format!("user.city -match \"{pattern}\"")).unwrap_err();
        assert!(error.message.contains("too large"), "{pattern}: {error}");
    }
    // Look-around and back-references do not exist in such an engine.
    assert!(membership(r#"user.city -match "(a)\1""#).is_err());
    assert!(membership(r#"user.city -match "(?=a)""#).is_err());
}

#[test]
fn filters_have_their_own_words() {
    let mut mac = Facts::default();
    mac.text("deviceName", Some("Ada's Mac"));
    mac.text("model", Some("MacBook Pro"));
    mac.text("operatingSystemVersion", Some("14.10.1"));
    mac.text("deviceOwnership", Some("Corporate"));
    mac.text("cpuArchitecture", Some("arm64"));
    for rule in [
        r#"(device.model -startsWith "macbook")"#,
        r#"(device.operatingSystemVersion -ge "14.9") and (device.operatingSystemVersion -lt "15")"#,
        r#"(device.operatingSystemVersion -eq "14.10.1.0")"#,
        r#"(device.deviceOwnership -eq "corporate")"#,
        r#"(device.cpuArchitecture -in ["arm64","x64"])"#,
        r#"(device.deviceCategory -eq $null)"#,
    ] {
        assert!(filter(rule, "macOS").unwrap().matches(&mac), "{rule}");
    }
    assert!(!filter(r#"(device.operatingSystemVersion -gt "14.10.1")"#, "macOS").unwrap().matches(&mac));
    let error = |rule: &str, platform: &str| filter(rule, platform).unwrap_err().to_string();
    assert!(error(r#"(device.deviceOwnership -eq "Company")"#, "iOS").contains("Personal, Corporate, unknown"));
    assert!(error(r#"(device.model -match "a")"#, "iOS").starts_with("at character 15: this property takes -eq"));
    assert!(error(r#"-not (device.model -eq "a")"#, "iOS").contains("filters have no -not"));
    assert!(error(r#"(device.cpuArchitecture -eq "x64")"#, "iOS").contains("filters for iOS have no"));
    assert!(error(r#"(device.operatingSystemVersion -gt "new")"#, "iOS").contains("expected a version"));
    assert!(error(r#"(app.appVersion -eq "1")"#, "iOS").contains("about device.*"));
    assert!(filter(r#"(app.appVersion -eq "1")"#, "iOSMobileApplicationManagement").is_ok());
    assert!(error(r#"(device.model -eq "a")"#, "windowsPhone81").contains("no filters for windowsPhone81"));
    assert!(filter_properties("iOS").any(|property| property.name == "isRooted"));
    assert!(!filter_properties("macOS").any(|property| property.name == "isRooted"));
    for vocabulary in [&FILTER_DEVICES, &FILTER_APPS] {
        assert!(vocabulary.properties.iter().all(|property| !property.operators.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_engine_agrees_with_the_reference(
        meant in any_meant(),
        people in prop::collection::vec(any_person(), 8),
        spelling in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let text = Spelling(spelling.iter().cycle()).rule(&meant, 0);
        let patterns = text.to_lowercase().matches("match").count();
        prop_assume!(text.chars().count() <= MAX_LENGTH && patterns <= MAX_PATTERNS);
        let (members, rule) = membership(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        prop_assert_eq!(members, Members::Users);
        for person in &people {
            prop_assert_eq!(rule.matches(&facts(person)), person.is(&meant, None), "{} on {:?}", &text, person);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_rule_or_an_error_with_a_place_in_it(text in "\\PC{0,60}") {
        if let Err(error) = membership(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at));
        }
    }

    #[test]
    fn any_words_are_a_rule_or_an_error_with_a_place_in_it(
        words in prop::collection::vec(prop::sample::select(vec![
            "user.city", "device.model", "user.otherMails", "-eq", "-any", "-all", "_", "-not", "-and", "-or", "(",
            ")", "[", "]", ",", "\"a\"", "null", "true", "-match", "-in",
        ]), 0..30),
    ) {
        let text = words.join(" ");
        if let Err(error) = membership(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at));
        }
        if let Err(error) = filter(&text, "iOS") {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at));
        }
    }
}
