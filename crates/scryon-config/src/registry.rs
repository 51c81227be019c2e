//! The registry: one entry per environment variable, from which the settings are read and the manual
//! (docs/configuration.md) is written.

use std::collections::BTreeMap;

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    pub default: &'static str,
    pub allowed: fn() -> String,
    pub help: &'static str,
    pub group: &'static str,
    /// Its value never shows anywhere.
    pub secret: bool,
}

/// Where variables are read from. A trait, so that tests run in parallel without touching the process.
pub trait Env {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<String>;
    /// Every variable that is set.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// A start that cannot go on, told in the words of the person who set the variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{name}={value} is not allowed; allowed: {allowed}")]
    Invalid { name: String, value: String, allowed: String },
    #[error("{name} is not a setting of this project{hint}; docs/configuration.md lists them all")]
    Unknown { name: String, hint: String },
    #[error("{0}")]
    Conflict(String),
}

/// Declares a group of settings: the struct, its reader and its registry entries, from one text.
#[macro_export]
#[doc(hidden)]
macro_rules! settings {
    (
        $(#[doc = $group_doc:literal])*
        $group:literal $struct:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $ty:ty = $name:literal, $default:literal $(, $secret:ident)?; )+
        }
    ) => {
        $(#[doc = $group_doc])*
        #[derive(Debug, Clone)]
        pub struct $struct { $( $(#[doc = $doc])+ pub $field: $ty, )+ }

        impl $struct {
            /// The registry entries of this group.
            pub const ENTRIES: &'static [$crate::registry::Entry] = &[ $( $crate::registry::Entry {
                name: $name,
                default: $default,
                allowed: <$ty as $crate::value::SettingValue>::allowed,
                help: concat!($($doc),+),
                group: $group,
                secret: $crate::settings!(@secret $($secret)?),
            }, )+ ];

            /// Reads the group; the first value that is not allowed stops the start.
            pub fn read(env: &dyn $crate::registry::Env) -> Result<Self, $crate::registry::ConfigError> {
                Ok(Self { $( $field: $crate::registry::read_one(env, $name, $default, $crate::settings!(@secret $($secret)?))?, )+ })
            }
        }
    };
    (@secret) => { false };
    (@secret secret) => { true };
}

pub(crate) fn read_one<T: crate::value::SettingValue>(
    env: &dyn Env,
    name: &str,
    default: &str,
    secret: bool,
) -> Result<T, ConfigError> {
    let set = env.get(name);
    let text = set.as_deref().map_or(default, str::trim);
    T::read(text).ok_or_else(|| ConfigError::Invalid {
        name: name.to_owned(),
        value: if secret { "(secret)".to_owned() } else { text.to_owned() },
        allowed: T::allowed(),
    })
}
