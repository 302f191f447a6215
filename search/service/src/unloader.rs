//! An engine that is closed on a thread of its own.
use std::ops::Deref;
use std::thread;

use spandrel_engine::Engine;

/// Closes its engine when it is dropped. Waiting for search threads and giving back gigabytes must not keep a thread of the runtime.
pub(crate) struct Unloader(Option<Engine>);

impl Unloader {
    pub(crate) fn of(engine: Engine) -> Unloader {
        Unloader(Some(engine))
    }
}

impl Deref for Unloader {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        let Some(engine) = &self.0 else { unreachable!("an engine is there until the drop") };
        engine
    }
}

impl Drop for Unloader {
    fn drop(&mut self) {
        let engine = self.0.take();
        // Without a thread to be had it is dropped here after all.
        drop(thread::Builder::new().name("unload".to_owned()).spawn(move || drop(engine)));
    }
}
