//! Assignment filters beside their documents: what uses one, what rules may say, which devices match.

use muster_domain::{
    roles::Permission,
    rules::vocabulary::{self, Kind as PropertyKind},
};
use muster_service::{
    documents::Kind,
    rules::filters::{self, FILTERS, Found, MOST_ROWS, Preview},
};
use serde_json::{Map, Value, json};

use super::row;
use crate::{
    graph::{Answer, Call, bad, body, registry::Resource},
    problem::Problem,
    routes::KIB,
};

use Permission::ConfigurationRead;

/// Graph's type.
const FILTER: &str = "deviceAndAppManagementAssignmentFilter";

pub fn rows() -> Vec<Resource> {
    let path = format!("deviceManagement/{FILTERS}");
    let item = format!("{path}/{{id}}");
    vec![
        row!(GET format!("{item}/payloads"), Operation FILTER, ConfigurationRead, 0, "What uses a filter", payloads, beta),
        row!(GET format!("{item}/getSupportedProperties"), Operation FILTER, ConfigurationRead, 0, "What the rule of a filter may say", supported, beta),
        row!(GET format!("{path}/getPlatformSupportedProperties"), Operation FILTER, ConfigurationRead, 0, "What rules of a platform may say", supported_on, beta),
        row!(GET format!("{path}/getState"), Operation FILTER, ConfigurationRead, 0, "Whether filters are evaluated", state, beta),
        row!(POST format!("{path}/validateFilter"), Operation FILTER, ConfigurationRead, 16 * KIB, "Whether a filter's rule can be read", validate, beta),
        row!(POST "deviceManagement/evaluateAssignmentFilter", Operation FILTER, ConfigurationRead, 16 * KIB, "The devices that a rule lets through", evaluate, beta),
    ]
}

/// The filter of the path, which must be there.
async fn filter(call: &Call) -> Result<muster_service::documents::Document, Problem> {
    let kind = Kind::of(FILTERS).ok_or_else(|| bad("there are no filters"))?;
    Ok(call.app.service.document(call.actor.tenant, kind, call.id(0)?).await?)
}

async fn payloads(call: Call) -> Result<Answer, Problem> {
    let filter = filter(&call).await?;
    let mut all = call.app.service.filter_payloads(call.actor.tenant).await?;
    Ok(Answer::value(Value::Array(all.remove(&filter.id).unwrap_or_default())))
}

/// Graph's assignmentFilterSupportedProperty, one a property.
fn properties(platform: &str) -> Answer {
    let subject = vocabulary::filter_vocabulary(platform).map_or("", |vocabulary| vocabulary.subject);
    let all = vocabulary::filter_properties(platform).map(|property| {
        let values: &[&str] = match property.kind {
            PropertyKind::Choice(words) => words,
            _ => &[],
        };
        json!({
            "name": format!("{subject}.{}", property.name),
            "dataType": if property.kind == PropertyKind::Version { "Version" } else { "String" },
            "isCollection": false,
            "propertyRegexConstraint": null,
            "supportedOperators": property.operators.iter().map(|operator| operator.graph_word()).collect::<Vec<_>>(),
            "supportedValues": values,
        })
    });
    Answer::value(all.collect())
}

async fn supported(call: Call) -> Result<Answer, Problem> {
    let filter = filter(&call).await?.properties().map_err(muster_service::Error::from)?;
    Ok(properties(filter.get("platform").and_then(Value::as_str).unwrap_or_default()))
}

/// A platform in Graph's spelling.
fn platform(given: Option<&str>) -> Result<String, Problem> {
    let given = given.ok_or_else(|| bad("platform is needed, such as iOS or macOS"))?;
    let read = body::entity(FILTER, &json!({ "platform": given }), body::Purpose::Patch, false)?;
    let platform = read.properties.get("platform").and_then(Value::as_str).unwrap_or_default().to_owned();
    match vocabulary::filter_vocabulary(&platform) {
        Some(_) => Ok(platform),
        None => Err(bad(format!("there are no filters for {platform}"))),
    }
}

async fn supported_on(call: Call) -> Result<Answer, Problem> {
    let given = call.arguments.iter().find(|(name, _)| name.eq_ignore_ascii_case("platform"));
    Ok(properties(&platform(given.map(|(_, value)| value.as_str()))?))
}

async fn state(_: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(object(json!({ "enabled": true }))))
}

async fn validate(call: Call) -> Result<Answer, Problem> {
    let sent = call.parameter(FILTER).ok_or_else(|| bad(format!("the body needs {FILTER}, with platform and rule")))?;
    let read = body::entity(FILTER, sent, body::Purpose::Create, false)?;
    let text = |name: &str| read.properties.get(name).and_then(Value::as_str);
    let platform = platform(text("platform"))?;
    let rule = text("rule").ok_or_else(|| bad("rule is needed"))?;
    Ok(Answer::entity(object(match filters::read(rule, &platform) {
        Ok(_) => json!({ "isValidRule": true }),
        Err(reason) => json!({ "isValidRule": false, "@muster.reason": reason.to_string() }),
    })))
}

/// Columns of a preview: name, and the value of a device.
type Column = (&'static str, fn(&Found) -> Value);
const COLUMNS: [Column; 5] = [
    ("DeviceId", |found| found.id.to_string().into()),
    ("DeviceName", |found| found.name.clone().into()),
    ("DeviceModel", |found| found.model.clone().into()),
    ("OSVersion", |found| found.os_version.clone().into()),
    ("UPN", |found| found.user_principal_name.clone().into()),
];

async fn evaluate(call: Call) -> Result<Answer, Problem> {
    let data = call.parameter("data").ok_or_else(|| bad("the body needs data, with platform and rule"))?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let number = |name: &str| data.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    let preview = Preview {
        platform: platform(text("platform"))?,
        rule: text("rule").ok_or_else(|| bad("rule is needed"))?.to_owned(),
        search: text("search").filter(|text| !text.is_empty()).map(str::to_owned),
        skip: number("skip").unwrap_or(0),
        top: number("top").filter(|top| *top > 0).unwrap_or(MOST_ROWS),
    };
    let (count, found) = call.app.service.preview_filter(call.actor.tenant, preview).await?;
    let schema: Vec<Value> =
        COLUMNS.iter().map(|(name, _)| json!({ "Column": name, "PropertyType": "String" })).collect();
    let rows: Vec<Value> = found.iter().map(|one| COLUMNS.iter().map(|(_, value)| value(one)).collect()).collect();
    Ok(Answer::entity(object(json!({
        "TotalRowCount": count, "Schema": schema, "Values": rows, "SessionId": "",
    }))))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
