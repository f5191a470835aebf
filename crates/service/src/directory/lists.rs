//! Users and groups by display name, a keyset page at a time; a filter runs over the pages.

use std::sync::Arc;

use muster_domain::query::After;
use muster_storage::{groups, groups::Group, people, people::Person};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, Result, Service, people::group_view, people::user_view};

/// A test on an entity: the caller's `$filter` and `$search`.
pub type Matches = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

/// What a list is asked for; it goes by display name.
#[derive(Clone, Default)]
pub struct NameQuery {
    /// Only entities that pass.
    pub matches: Option<Matches>,
    /// Where the last page ended: display name and id.
    pub after: Option<After>,
    /// Entities of a page.
    pub top: usize,
    /// Entities to leave out first.
    pub skip: usize,
    /// The number of all is wanted.
    pub count: bool,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct NamePage {
    /// Graph's entities.
    pub items: Vec<Map<String, Value>>,
    /// Where it ended, if there is more.
    pub next: Option<After>,
    /// The number of all, if asked for.
    pub count: Option<i64>,
}

/// Rows of a transaction.
const CHUNK: i64 = 500;

type Named = (String, Uuid, Map<String, Value>);

fn of_person(person: &Person) -> Named {
    (person.display_name.clone(), person.id, user_view(person))
}

fn of_group(group: &Group) -> Named {
    (group.display_name.clone(), group.id, group_view(group))
}

#[derive(Clone, Copy)]
enum Kind {
    Users,
    Groups,
}

impl Service {
    /// A page of users.
    pub async fn users(&self, tenant: Uuid, query: NameQuery) -> Result<NamePage> {
        self.named(tenant, Kind::Users, query).await
    }

    /// A page of groups.
    pub async fn groups(&self, tenant: Uuid, query: NameQuery) -> Result<NamePage> {
        self.named(tenant, Kind::Groups, query).await
    }

    async fn chunk(&self, tenant: Uuid, kind: Kind, after: Option<(String, Uuid)>, limit: i64) -> Result<Vec<Named>> {
        self.store
            .read(tenant, move |tx| {
                Ok::<_, Error>(match kind {
                    Kind::Users => people::page(tx, tenant, after.clone(), limit)?.iter().map(of_person).collect(),
                    Kind::Groups => groups::page(tx, tenant, after.clone(), limit)?.iter().map(of_group).collect(),
                })
            })
            .await
    }

    async fn named(&self, tenant: Uuid, kind: Kind, query: NameQuery) -> Result<NamePage> {
        let passes = |view: Map<String, Value>| -> Option<Map<String, Value>> {
            let Some(matches) = &query.matches else { return Some(view) };
            let value = Value::Object(view);
            if !matches(&value) {
                return None;
            }
            match value {
                Value::Object(view) => Some(view),
                _ => None,
            }
        };
        let top = query.top.max(1);
        let mut page = NamePage::default();
        let mut skip = query.skip;
        let mut last: Option<(String, Uuid)> = None;
        let place = |after: &After| (after.key.as_str().unwrap_or_default().to_owned(), after.id);
        let mut at = query.after.as_ref().map(place);
        // Without a test, a page more than one longer than asked for says whether there is more.
        let limit = if query.matches.is_none() && skip == 0 { (top as i64 + 1).min(CHUNK) } else { CHUNK };
        'pages: loop {
            let chunk = self.chunk(tenant, kind, at.clone(), limit).await?;
            let whole = chunk.len() as i64 == limit;
            for (name, id, view) in chunk {
                at = Some((name.clone(), id));
                let Some(view) = passes(view) else { continue };
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                if page.items.len() == top {
                    page.next = last.clone().map(|(name, id)| After { key: name.into(), id });
                    break 'pages;
                }
                page.items.push(view);
                last = Some((name, id));
            }
            if !whole {
                break;
            }
        }
        if query.count {
            page.count = Some(self.count_named(tenant, kind, query.matches.as_ref()).await?);
        }
        Ok(page)
    }

    async fn count_named(&self, tenant: Uuid, kind: Kind, matches: Option<&Matches>) -> Result<i64> {
        if let (Kind::Users, None) = (kind, matches) {
            return self.store.read(tenant, move |tx| Ok::<_, Error>(people::count_all(tx, tenant)?)).await;
        }
        let (mut count, mut at) = (0, None);
        loop {
            let chunk = self.chunk(tenant, kind, at.clone(), CHUNK).await?;
            let whole = chunk.len() as i64 == CHUNK;
            for (name, id, view) in chunk {
                at = Some((name, id));
                count += i64::from(matches.is_none_or(|matches| matches(&Value::Object(view))));
            }
            if !whole {
                return Ok(count);
            }
        }
    }
}
