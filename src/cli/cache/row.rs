//! An entry of a cache as it is shown: in a row, in a paragraph, as JSON. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::daemons::Place;
use super::super::human::{ago, size};
use super::super::table::align;
use crate::buildkit::usage::UsageRecord;

/// The columns of a table.
pub(super) const HEADER: [&str; 4] = ["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"];

/// An entry's cells; a star marks what may change, or is shared.
pub(super) fn cells(record: &UsageRecord, now: Timestamp) -> [String; 4] {
    let star = |is_marked: bool| if is_marked { "*" } else { "" };
    [
        format!("{}{}", record.id, star(record.mutable)),
        (!record.in_use).to_string(),
        format!("{}{}", size(record.size), star(record.shared)),
        last_used(record, now),
    ]
}

fn last_used(record: &UsageRecord, now: Timestamp) -> String {
    record
        .last_used
        .map_or_else(String::new, |used| ago(used, now))
}

/// An entry as a paragraph; `place` is said where there are several daemons.
pub(super) fn paragraph(record: &UsageRecord, place: Option<&Place>, now: Timestamp) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let name = format!("{name}:");
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<14}{value}");
        }
    };
    field("ID", &record.id);
    field("Node", &place.map_or_else(String::new, Place::to_string));
    field("Parents", &record.parents.join(", "));
    let created = record.created.map(|at| at.to_string());
    field("Created at", &created.unwrap_or_default());
    field("Mutable", &record.mutable.to_string());
    field("Reclaimable", &(!record.in_use).to_string());
    field("Shared", &record.shared.to_string());
    field("Size", &size(record.size));
    field("Description", &record.description);
    field("Usage count", &record.usage_count.to_string());
    field("Last used", &last_used(record, now));
    field("Type", &record.kind);
    text.push('\n');
    text
}

/// An entry as JSON: buildx's members, and where it is and how many bytes.
pub(super) fn json(record: &UsageRecord, place: &Place, now: Timestamp) -> Value {
    json!({
        "ID": record.id,
        "Parents": record.parents,
        "CreatedAt": record.created.map(|at| at.to_string()).unwrap_or_default(),
        "Mutable": record.mutable,
        "Reclaimable": !record.in_use,
        "Shared": record.shared,
        "Size": size(record.size),
        "Description": record.description,
        "UsageCount": record.usage_count,
        "LastUsedAt": last_used(record, now),
        "Type": record.kind,
        "Bytes": record.size,
        "Node": place.node,
        "Instance": place.instance,
    })
}

/// The heading of a field's column.
pub(super) fn heading(field: &str) -> Option<&'static str> {
    Some(match field {
        "CreatedAt" => "CREATED AT",
        "UsageCount" => "USAGE COUNT",
        "LastUsedAt" => "LAST ACCESSED",
        _ => return None,
    })
}

/// Sums over entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    total: u64,
    shared: u64,
    reclaimable: u64,
}

impl Totals {
    pub(super) fn of<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Self {
        let mut totals = Self::default();
        for record in records {
            totals.total += record.size;
            if record.shared {
                totals.shared += record.size;
            }
            if !record.in_use {
                totals.reclaimable += record.size;
            }
        }
        totals
    }

    /// Lines with buildx's names; what is shared is said where anything is.
    pub(super) fn text(self) -> String {
        let mut rows = Vec::new();
        if self.shared > 0 {
            rows.push(["Shared:".to_owned(), size(self.shared)]);
            rows.push(["Private:".to_owned(), size(self.total - self.shared)]);
        }
        rows.push(["Reclaimable:".to_owned(), size(self.reclaimable)]);
        rows.push(["Total:".to_owned(), size(self.total)]);
        align(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> UsageRecord {
        UsageRecord {
            id: "abc".into(),
            parents: vec!["p".into(), "q".into()],
            created: Timestamp::from_second(1_000).ok(),
            last_used: Timestamp::from_second(1_000).ok(),
            usage_count: 2,
            mutable: true,
            shared: true,
            size: 8_192,
            description: "mount / from exec".into(),
            kind: "regular".into(),
            ..UsageRecord::default()
        }
    }

    fn place() -> Place {
        Place {
            node: "amd64".into(),
            instance: Some("pod-0".into()),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_300).unwrap()
    }

    #[test]
    fn a_row_has_buildxs_cells() {
        let expect = ["abc*", "true", "8.192kB*", "5 minutes ago"];
        assert_eq!(cells(&record(), now()), expect);
        let unused = UsageRecord {
            in_use: true,
            ..UsageRecord::default()
        };
        assert_eq!(cells(&unused, now()), ["", "false", "0B", ""]);
    }

    #[test]
    fn a_paragraph_says_all_there_is() {
        insta::assert_snapshot!(paragraph(&record(), Some(&place()), now()), @r"
        ID:           abc
        Node:         amd64/pod-0
        Parents:      p, q
        Created at:   1970-01-01T00:16:40Z
        Mutable:      true
        Reclaimable:  true
        Shared:       true
        Size:         8.192kB
        Description:  mount / from exec
        Usage count:  2
        Last used:    5 minutes ago
        Type:         regular
        ");
    }

    #[test]
    fn json_has_buildxs_members() {
        let json = json(&record(), &place(), now());
        assert_eq!(json["Size"], "8.192kB");
        assert_eq!(
            (&json["Bytes"], &json["Node"]),
            (&8192.into(), &"amd64".into())
        );
        assert_eq!(json["LastUsedAt"], "5 minutes ago");
    }

    #[test]
    fn totals_tell_shared_from_private() {
        let private = UsageRecord {
            size: 1_000,
            in_use: true,
            ..UsageRecord::default()
        };
        let totals = Totals::of([&record(), &private]);
        insta::assert_snapshot!(totals.text(), @r"
        Shared:        8.192kB
        Private:       1kB
        Reclaimable:   8.192kB
        Total:         9.192kB
        ");
        assert_eq!(
            Totals::default().text(),
            "Reclaimable:   0B\nTotal:         0B\n"
        );
    }
}
