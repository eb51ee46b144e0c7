//! What is told of the measurements: tables, the page that they stand on, and the plot.

pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod table;
