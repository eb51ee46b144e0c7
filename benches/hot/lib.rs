//! The layers of mbuild that do the work of a build, as a crate of their own.
//!
//! Building all of mbuild for release takes minutes, nearly all of them for the layers that
//! speak gRPC, Kubernetes and HTTP. To count instructions on every change only these are
//! compiled, from the very same files; imports point down, so they need nothing else. Their
//! tests run where they belong.

#[path = "../../src/merge/annotate.rs"]
pub mod annotate;
#[path = "../../src/attrs/mod.rs"]
pub mod attrs;
#[path = "../../src/causes.rs"]
pub mod causes;
#[path = "../../src/digest.rs"]
pub mod digest;
#[path = "../../src/event.rs"]
pub mod event;
#[path = "../../src/ignore/mod.rs"]
pub mod ignore;
#[path = "../../src/node.rs"]
pub mod node;
#[path = "../../src/oci/mod.rs"]
pub mod oci;
#[path = "../../src/plan/mod.rs"]
pub mod plan;
#[path = "../../src/platform/mod.rs"]
pub mod platform;
#[path = "../../src/progress/mod.rs"]
pub mod progress;
#[path = "../../src/receive/mod.rs"]
pub mod receive;
#[path = "../../src/reference/mod.rs"]
pub mod reference;
#[path = "../../src/request/mod.rs"]
pub mod request;
pub mod session;
#[path = "../../src/tree/mod.rs"]
pub mod tree;
#[path = "../../src/unit.rs"]
pub mod unit;
