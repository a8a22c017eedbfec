//! What the floors above keep on a GPU, without the GPU knowing them.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Anything that goes to another thread, and in a browser, where wgpu does not, anything at all.
trait Thing: Any + wgpu::WasmNotSendSync {}

impl<T: Any + wgpu::WasmNotSendSync> Thing for T {}

/// One value of each type that was asked for, each an `Arc` of the type.
#[derive(Default)]
pub(super) struct Attached {
    things: Mutex<HashMap<TypeId, Named>>,
}

/// A value, and the name of its type.
type Named = (&'static str, Box<dyn Thing>);

impl Attached {
    /// The value of the type, made when it is asked for the first time.
    pub(super) fn of<T: Default + wgpu::WasmNotSendSync + 'static>(&self) -> Arc<T> {
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || -> Named { (type_name::<T>(), Box::new(Arc::<T>::default())) };
        let (_, thing) = things.entry(TypeId::of::<T>()).or_insert_with(make);
        let thing: &dyn Any = &**thing;
        // the key says of which type it is
        thing.downcast_ref::<Arc<T>>().map(Arc::clone).unwrap_or_default()
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        formatter
            .debug_set()
            .entries(things.values().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct One(AtomicUsize);

    #[derive(Default)]
    struct Other(AtomicUsize);

    #[test]
    fn each_type_has_one_value() {
        let attached = Attached::default();
        attached.of::<One>().0.store(1, Ordering::Relaxed);
        attached.of::<Other>().0.store(2, Ordering::Relaxed);
        assert_eq!(attached.of::<One>().0.load(Ordering::Relaxed), 1);
        assert_eq!(attached.of::<Other>().0.load(Ordering::Relaxed), 2);
        assert!(Arc::ptr_eq(&attached.of::<One>(), &attached.of::<One>()));
        assert!(!Arc::ptr_eq(&attached.of::<One>(), &Attached::default().of::<One>()));
        assert!(format!("{attached:?}").contains("One"));
    }
}
