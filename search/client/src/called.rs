//! What a call gives: a future, whose code is compiled here.
use std::pin::Pin;

use tonic::Status;

/// A call under way. Its code is compiled with this crate; that of an `async fn` would be with each program that awaits it.
pub type Called<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;
