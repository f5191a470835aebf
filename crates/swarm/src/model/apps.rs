//! Apps: what a person installed, what the server manages, and the lists of both.

use plist::{Dictionary, Value};

use super::{answer::Outcome, device::Device, hardware::Family};
use crate::{plists, plists::Keys, random::Seeded};

/// One installed app.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Bundle identifier.
    pub identifier: String,
    /// Name on the home screen.
    pub name: String,
    /// `CFBundleShortVersionString`.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Installed or taken over by the server.
    pub managed: bool,
    /// `ManagementFlags` it was installed with.
    pub flags: i64,
    /// Configuration the server set.
    pub configuration: Option<Dictionary>,
    /// Attributes the server set.
    pub attributes: Option<Dictionary>,
}

/// Apps people have, invented.
const POPULAR: &[(&str, &str)] = &[
    ("com.example.messenger", "Messenger"),
    ("com.example.photos.share", "Photo Share"),
    ("com.example.bank", "My Bank"),
    ("com.example.rail", "Rail Planner"),
    ("com.example.weather", "Weather Radar"),
    ("com.example.music", "Music Stream"),
    ("com.example.notes", "Quick Notes"),
    ("com.example.fitness", "Fitness Diary"),
    ("com.example.news", "Daily News"),
    ("com.example.recipes", "Recipes"),
    ("com.example.office.docs", "Office Documents"),
    ("com.example.office.mail", "Office Mail"),
];

impl App {
    fn new(identifier: &str, name: &str, version: &str, size: u64) -> Self {
        App {
            identifier: identifier.into(),
            name: name.into(),
            version: version.into(),
            size,
            managed: false,
            flags: 0,
            configuration: None,
            attributes: None,
        }
    }

    /// What every device has after its first start.
    pub fn preinstalled() -> Vec<App> {
        vec![App::new("com.apple.Pages", "Pages", "14.4", 610_000_000)]
    }

    /// Some apps a person chose.
    pub fn draw(family: Family, random: &mut Seeded) -> Vec<App> {
        let mut apps = App::preinstalled();
        let count = if family == Family::Mac { 3 } else { 4 } + random.below(6) as usize;
        let start = random.below(POPULAR.len() as u64) as usize;
        for (identifier, name) in POPULAR.iter().cycle().skip(start).take(count) {
            let version = format!("{}.{}", 1 + random.below(9), random.below(20));
            apps.push(App::new(identifier, name, &version, 20_000_000 + random.below(400_000_000)));
        }
        apps
    }
}

impl Device {
    pub(crate) fn installed_application_list(&self, body: &Dictionary) -> Outcome {
        let wanted = body.texts("Identifiers");
        let items = body.texts("Items");
        // Under User Enrollment only managed apps are ever told.
        let managed_only = body.flag("ManagedAppsOnly") || self.is_user_enrollment();
        let mac = self.hardware.family.is_mac();
        let list = self
            .apps
            .iter()
            .filter(|app| (!managed_only || app.managed) && (wanted.is_empty() || wanted.contains(&app.identifier)))
            .map(|app| {
                let mut keys = plists::dictionary([
                    ("Identifier", Some(app.identifier.clone().into())),
                    ("Name", Some(app.name.clone().into())),
                    ("Version", Some(app.version.clone().into())),
                    ("ShortVersion", Some(app.version.clone().into())),
                    ("BundleSize", Some(app.size.into())),
                    ("DynamicSize", (!mac).then(|| (app.size / 7).into())),
                    ("IsValidated", (!mac).then(|| true.into())),
                    ("Installing", Some(false.into())),
                ]);
                if !items.is_empty() {
                    keys.retain(|key, _| items.iter().any(|item| item == key));
                }
                Value::Dictionary(keys)
            })
            .collect();
        Outcome::with("InstalledApplicationList", Value::Array(list))
    }

    pub(crate) fn managed_application_list(&self, body: &Dictionary) -> Outcome {
        let wanted = body.texts("Identifiers");
        let mac = self.hardware.family.is_mac();
        let mut list = Dictionary::new();
        for app in self.apps.iter().filter(|app| app.managed) {
            if wanted.is_empty() || wanted.contains(&app.identifier) {
                let keys = plists::dictionary([
                    ("Status", Some("Managed".into())),
                    ("ManagementFlags", Some(app.flags.into())),
                    ("UnusedRedemptionCode", (!mac).then(|| "".into())),
                    ("ExternalVersionIdentifier", Some((app.size / 1000).into())),
                    ("HasConfiguration", Some(app.configuration.is_some().into())),
                    ("HasFeedback", (!mac).then(|| false.into())),
                    ("IsValidated", (!mac).then(|| true.into())),
                ]);
                list.insert(app.identifier.clone(), Value::Dictionary(keys));
            }
        }
        Outcome::with("ManagedApplicationList", Value::Dictionary(list))
    }

    pub(crate) fn install_application(&mut self, body: &Dictionary) -> Outcome {
        let sources = ["iTunesStoreID", "Identifier", "ManifestURL"];
        if sources.iter().filter(|key| body.contains_key(key)).count() != 1 {
            return Outcome::mdm_error(12023, "Exactly one of iTunesStoreID, Identifier and ManifestURL names an app.");
        }
        let identifier = match (body.integer("iTunesStoreID"), body.text("Identifier"), body.text("ManifestURL")) {
            (Some(id), _, _) => format!("com.example.store.id{id}"),
            (_, Some(identifier), _) => identifier.to_owned(),
            (_, _, Some(url)) => format!("com.example.manifest.{}", url.rsplit('/').next().unwrap_or("app")),
            _ => return Outcome::Malformed,
        };
        let flags = body.integer("ManagementFlags").unwrap_or(0);
        let takes_over = body.text("ChangeManagementState") == Some("Managed");
        match self.apps.iter_mut().find(|app| app.identifier == identifier) {
            Some(app) if app.managed => app.flags = flags,
            Some(app) if takes_over => (app.managed, app.flags) = (true, flags),
            Some(_) => return Outcome::mdm_error(12025, "The app is already installed."),
            None => {
                let mut app = App::new(&identifier, &identifier, "1.0", 50_000_000);
                (app.managed, app.flags) = (true, flags);
                app.configuration = body.dictionary("Configuration").cloned();
                app.attributes = body.dictionary("Attributes").cloned();
                self.apps.push(app);
            }
        }
        Outcome::Done(plists::dictionary([
            ("Identifier", Some(identifier.into())),
            ("State", Some("Installing".into())),
        ]))
    }

    pub(crate) fn install_enterprise_application(&mut self, body: &Dictionary) -> Outcome {
        if body.contains_key("Manifest") == body.contains_key("ManifestURL") {
            return Outcome::mdm_error(12023, "Exactly one of Manifest and ManifestURL names an app.");
        }
        let metadata = body.dictionary("Manifest").map(|manifest| manifest.dictionaries("items"));
        let metadata = metadata.as_ref().and_then(|items| items.first()?.dictionary("metadata"));
        let identifier = metadata.and_then(|m| m.text("bundle-identifier")).unwrap_or("com.example.package").to_owned();
        let version = metadata.and_then(|m| m.text("bundle-version")).unwrap_or("1.0").to_owned();
        let mut app = App::new(&identifier, &identifier, &version, 50_000_000);
        app.managed = body.flag("InstallAsManaged");
        app.flags = body.integer("ManagementFlags").unwrap_or(0);
        self.apps.retain(|app| app.identifier != identifier);
        self.apps.push(app);
        Outcome::done()
    }

    pub(crate) fn remove_application(&mut self, body: &Dictionary) -> Outcome {
        let identifier = body.text("Identifier").unwrap_or_default().to_owned();
        match self.apps.iter().position(|app| app.identifier == identifier && app.managed) {
            Some(at) => {
                self.apps.remove(at);
                Outcome::with("Identifier", identifier)
            }
            None => Outcome::mdm_error(12038, "The app is not managed."),
        }
    }

    pub(crate) fn managed_application_details(&self, body: &Dictionary, key: &str) -> Outcome {
        let configuration = key == "ApplicationConfigurations";
        let list = body
            .texts("Identifiers")
            .into_iter()
            .filter_map(|identifier| {
                let app = self.apps.iter().find(|app| app.managed && app.identifier == identifier)?;
                let (name, value) = match configuration {
                    true => ("Configuration", app.configuration.clone()),
                    false => ("Attributes", app.attributes.clone()),
                };
                let value = value.map(Value::Dictionary);
                Some(Value::Dictionary(plists::dictionary([("Identifier", Some(identifier.into())), (name, value)])))
            })
            .collect();
        Outcome::with(key, Value::Array(list))
    }
}
