//! The list of devices, on both engines: filters, orders, pages.

use muster_domain::query::{After, Compare, Filter, Literal, Order, Property, TextTest};
use muster_storage::testing::TestStore;
use muster_storage::{
    Error,
    device_list::{self, Page, Surface},
    devices::{self, Device},
    on_both_engines, tenants, testing,
};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

fn device(n: u128) -> Device {
    Device {
        id: Uuid::from_u128(0x1000 + n),
        directory_id: Uuid::from_u128(0x2000 + n),
        azure_ad_device_id: Uuid::from_u128(0x3000 + n),
        source: "mdm".into(),
        name: format!("Phone-{n:02}"),
        platform: "iOS".into(),
        operating_system: if n.is_multiple_of(5) { "macOS".into() } else { "iOS".into() },
        serial_number: (!n.is_multiple_of(4)).then(|| format!("SERIAL{n:02}")),
        owner_type: "personal".into(),
        enrollment_type: "userEnrollment".into(),
        management_state: "managed".into(),
        compliance_state: "unknown".into(),
        is_supervised: n.is_multiple_of(2),
        state: if n == 12 { "left".into() } else { "enrolled".into() },
        document: "{}".into(),
        scope_tags: "[\"0\"]".into(),
        last_sync_at: (!n.is_multiple_of(3)).then_some(NOW + n as i64),
        version: 1,
        created_at: NOW,
        modified_at: NOW,
        ..Device::default()
    }
}

/// Eleven devices that are listed, one that left, and one of another tenant.
async fn filled(store: &TestStore) -> Uuid {
    let (own, other) = (testing::id(), testing::id());
    for (tenant, numbers) in [(own, 1..=12), (other, 50..=50)] {
        let row = tenants::Tenant { id: tenant, name: tenant.to_string(), created_at: NOW };
        store.write(tenant, move |tx| tenants::insert(tx, &row)).await.unwrap();
        store
            .write(tenant, move |tx| numbers.clone().try_for_each(|n| devices::put(tx, tenant, &device(n))))
            .await
            .unwrap();
    }
    own
}

fn property(name: &str) -> Property {
    Property { cast: None, path: vec![name.to_owned()], lower: false }
}

async fn found(store: &TestStore, tenant: Uuid, filter: Filter) -> Vec<u128> {
    let condition = device_list::condition(Surface::Managed, &filter).unwrap();
    let page = Page { condition: Some(condition), limit: 100, ..Page::default() };
    let (rows, count) = store
        .read(tenant, move |tx| {
            Ok::<_, Error>((
                device_list::page(tx, tenant, &page)?,
                device_list::count(tx, tenant, page.condition.as_ref())?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(rows.len() as i64, count);
    rows.iter().map(|row| row.id.as_u128() - 0x1000).collect()
}

on_both_engines! {
async fn filters_find(store) {
    let tenant = filled(store).await;
    let text = |name: &str, compare, value: &str| Filter::Compare(property(name), compare, Literal::Text(value.into()));
    let cases = [
        (text("deviceName", Compare::Eq, "PHONE-03"), vec![3]),
        (text("serialNumber", Compare::Ne, "serial01"), vec![2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (text("deviceName", Compare::Ge, "phone-10"), vec![10, 11]),
        (text("id", Compare::Eq, "00000000-0000-0000-0000-000000001007"), vec![7]),
        (text("operatingSystem", Compare::Eq, "macos"), vec![5, 10]),
        (Filter::Compare(property("serialNumber"), Compare::Eq, Literal::Null), vec![4, 8]),
        (Filter::Compare(property("lastSyncDateTime"), Compare::Gt, Literal::Time(NOW + 7)), vec![8, 10, 11]),
        (Filter::Compare(property("isSupervised"), Compare::Eq, Literal::Bool(true)), vec![2, 4, 6, 8, 10]),
        (Filter::Text(property("serialNumber"), TextTest::Contains, "l1".into()), vec![10, 11]),
        (Filter::Text(property("serialNumber"), TextTest::EndsWith, "%".into()), vec![]),
        (Filter::Text(property("deviceName"), TextTest::StartsWith, "pHONE-1".into()), vec![10, 11]),
        (Filter::Text(property("operatingSystem"), TextTest::StartsWith, "MAC".into()), vec![5, 10]),
        (Filter::Text(property("managedDeviceOwnerType"), TextTest::Contains, "SON".into()), (1..=11).collect()),
        // What has no serial number does not contain the text, so its negation holds.
        (
            Filter::Not(Box::new(Filter::Text(property("serialNumber"), TextTest::StartsWith, "serial0".into()))),
            vec![4, 8, 10, 11],
        ),
        (
            Filter::Or(vec![
                Filter::In(property("deviceName"), vec![Literal::Text("phone-01".into()), Literal::Text("x".into())]),
                Filter::And(vec![
                    text("operatingSystem", Compare::Eq, "macOS"),
                    text("deviceName", Compare::Lt, "phone-06"),
                ]),
            ]),
            vec![1, 5],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(store, tenant, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn pages_show_each_once(store) {
    let tenant = filled(store).await;
    for property in ["id", "deviceName", "lastSyncDateTime", "serialNumber", "isSupervised", "notes", "userId"] {
        for descending in [false, true] {
            let order = Order { property: property.to_owned(), descending };
            let mut seen: Vec<Device> = Vec::new();
            loop {
                let after = seen
                    .last()
                    .map(|last| After { key: device_list::key(Surface::Managed, last, &order), id: last.id });
                let page = Page { order: Some(order.clone()), after, limit: 4, ..Page::default() };
                let rows = store.read(tenant, move |tx| device_list::page(tx, tenant, &page)).await.unwrap();
                let more = rows.len() == 4;
                assert!(seen.len() < 12, "{property} {descending}: the pages do not end");
                seen.extend(rows);
                if !more {
                    break;
                }
            }
            let mut ids: Vec<Uuid> = seen.iter().map(|row| row.id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!((seen.len(), ids.len()), (11, 11), "{property} {descending}");
            if property == "lastSyncDateTime" {
                let known: Vec<i64> = seen.iter().filter_map(|row| row.last_sync_at).collect();
                let mut sorted = known.clone();
                sorted.sort_by(|a, b| if descending { b.cmp(a) } else { a.cmp(b) });
                assert_eq!(known, sorted);
                assert!(seen[known.len()..].iter().all(|row| row.last_sync_at.is_none()), "what never came is last");
            }
        }
    }
    // A page of a filtered list in an order, behind a position, as one that is read whole has it.
    for (property_name, descending) in [("deviceName", true), ("lastSyncDateTime", false), ("model", false)] {
        let filter = Filter::Text(property("deviceName"), TextTest::Contains, "HONE-0".into());
        let condition = Some(device_list::condition(Surface::Managed, &filter).unwrap());
        let order = Order { property: property_name.to_owned(), descending };
        let mut pages = Vec::new();
        for limit in [2, 100] {
            let mut seen: Vec<Device> = Vec::new();
            while seen.len() < 12 {
                let after = seen
                    .last()
                    .map(|last| After { key: device_list::key(Surface::Managed, last, &order), id: last.id });
                let (condition, order) = (condition.clone(), Some(order.clone()));
                let page = Page { condition, order, after, limit, ..Page::default() };
                let rows = store.read(tenant, move |tx| device_list::page(tx, tenant, &page)).await.unwrap();
                let more = rows.len() as i64 == limit;
                seen.extend(rows);
                if !more {
                    break;
                }
            }
            pages.push(seen.iter().map(|row| row.id.as_u128() - 0x1000).collect::<Vec<_>>());
        }
        assert_eq!(pages[0], pages[1], "{property_name}");
        assert_eq!(pages[0].len(), 9, "{property_name}");
    }
    let skipped = |skip: i64| {
        async move {
            let order = Some(Order { property: "lastSyncDateTime".into(), descending: false });
            let page = Page { order, skip, limit: 100, ..Page::default() };
            store.read(tenant, move |tx| device_list::page(tx, tenant, &page)).await.unwrap().len()
        }
    };
    assert_eq!([skipped(0).await, skipped(3).await, skipped(9).await, skipped(50).await], [11, 8, 2, 0]);
}
}
