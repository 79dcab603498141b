//! Tests of the methods as a whole.

mod hostile;
mod methods;
mod oracle;
