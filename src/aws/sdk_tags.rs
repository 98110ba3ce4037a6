//! Tags in the types of the SDK: every service has one of its own.

/// Converts tags into a service's own tag type: every SDK crate has one of its own with the same builder.
#[macro_export]
macro_rules! sdk_tags {
    ($tags:expr, $type:ty) => {
        $tags.iter().map(|(key, value)| <$type>::builder().key(key).value(value).build()).collect::<Vec<_>>()
    };
}

/// Reads tags out of a service's own tag type, whose key and value are optional in the SDK.
#[macro_export]
macro_rules! from_sdk_tags {
    ($tags:expr) => {
        $tags
            .iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect::<$crate::aws::Tags>()
    };
}
