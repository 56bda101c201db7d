//! A world for a test, which returns (and says so) where the environment does not offer one.

/// Opens the world; no operator runs in it yet.
macro_rules! idle {
    ($name:literal) => {{
        let Some(environment) = crate::world::Environment::find() else {
            return;
        };
        crate::world::World::open(environment, $name).await
    }};
}

/// Opens the world and starts the operator in it.
macro_rules! running {
    ($name:literal) => {{
        let mut world = crate::open::idle!($name);
        world.start_operator();
        world
    }};
}

pub(crate) use {idle, running};
