//! gRPC: messages to what callers ask for, and what they get to messages. Decides nothing.
mod admin;
mod answered;
mod attributes;
mod convert;
mod explained;
mod filter;
mod grpc;
mod items;
mod kinds;
mod operations;
mod range;
#[cfg(any(test, feature = "testing"))]
mod reading;
mod stream;

pub(crate) use self::admin::Admin;
pub(crate) use self::grpc::Grpc;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::reading::Reading;
pub(crate) use self::stream::Bounds as StreamBounds;
