//! Filters as text and as JSON. What is read comes back from its text, and is bound to attributes or refused.
#![no_main]
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spandrel_filter::{Attribute, AttributeType, Filter, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let names = AttributeType::ALL.into_iter().zip(["k", "t", "b", "i", "f", "s"]);
    let attributes = names.map(|(kind, name)| Attribute { name: name.to_owned(), kind });
    Schema::new(attributes.collect()).expect("names that differ")
});

fuzz_target!(|text: &str| {
    if let Err(error) = Filter::parse(text) {
        assert!(text.is_char_boundary(error.offset), "{error}");
    }
    for (filter, is_text) in [(Filter::parse(text).ok(), true), (Filter::from_json(text).ok(), false)] {
        let Some(filter) = filter else { continue };
        let written = filter.to_string();
        match Filter::parse(&written) {
            // JSON may say "all of one", which text has no need for.
            Ok(again) => assert!(!is_text || again == filter, "{written}"),
            Err(error) => panic!("{written}: {error}"),
        }
        drop(filter.bind(&SCHEMA));
    }
});
