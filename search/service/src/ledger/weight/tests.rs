//! What messages become in memory.
use spandrel_proto::v1;
use spandrel_proto::v1::condition::Kind;
use spandrel_proto::v1::value::Kind as ValueKind;

use super::*;

fn known<T>(test: impl FnOnce(&Shapes, &dyn Fn(&str) -> usize) -> T) -> T {
    let set = FileDescriptorSet::decode(DESCRIPTOR).unwrap();
    let mut messages = Vec::new();
    for file in &set.file {
        let prefix = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| gather(&prefix, message, &mut messages));
    }
    let number = |name: &str| messages.iter().position(|(full, _)| *full == format!(".spandrel.v1.{name}"));
    test(&Shapes::new(), &|name| number(name).unwrap())
}

#[test]
fn messages_are_not_larger_than_they_are_taken_for() {
    known(|shapes, number| {
        for (name, bytes) in [
            ("Condition", size_of::<v1::Condition>()),
            ("Conditions", size_of::<v1::Conditions>()),
            ("Value", size_of::<v1::Value>()),
            ("Comparison", size_of::<v1::Comparison>()),
            ("Between", size_of::<v1::Between>()),
            ("SearchOptions", size_of::<v1::SearchOptions>()),
            ("SearchRequest", size_of::<v1::SearchRequest>()),
            ("SearchBatchRequest", size_of::<v1::SearchBatchRequest>()),
            ("SearchStreamRequest", size_of::<v1::SearchStreamRequest>()),
            ("SearchRangeRequest", size_of::<v1::SearchRangeRequest>()),
            ("FetchRequest", size_of::<v1::FetchRequest>()),
            ("StartLoadRequest", size_of::<v1::StartLoadRequest>()),
        ] {
            let taken_for = shapes.all[number(name)].bytes;
            assert!((bytes..=2 * bytes).contains(&taken_for), "{name}: {bytes} bytes, taken for {taken_for}");
        }
        assert!(size_of::<spandrel_filter::Filter>() <= shapes.all[number("Condition")].bytes);
        assert!(size_of::<spandrel_filter::Value>() <= shapes.all[number("Value")].bytes);
        let negation = shapes.all[number("Condition")].fields[3];
        assert_eq!(negation, Some(Field::Message { shape: number("Condition"), place: Place::Boxed }));
    });
}

#[test]
fn every_method_of_the_interface_has_its_request() {
    let requests = Shapes::new().requests;
    for method in Method::ALL {
        let is_ours = !method.is_small() && !matches!(method, Method::SearchById | Method::Unknown);
        assert_eq!(requests[method as usize].is_some(), is_ours, "{method:?}");
        assert_eq!(Method::ALL[method as usize], method);
    }
}

fn filtered(kind: Kind) -> Vec<u8> {
    let filter = Some(kind.into());
    let options = Some(v1::SearchOptions { filter, ..Default::default() });
    v1::SearchRequest { options, ..Default::default() }.encode_to_vec()
}

fn of(message: &[u8]) -> usize {
    weight(Method::Search, message, usize::MAX).unwrap()
}

#[test]
fn what_small_messages_become_is_counted() {
    let nothing = of(&[]);
    let empty = |count| Kind::AnyOf(v1::Conditions { conditions: vec![v1::Condition { kind: None }; count] });
    let message = filtered(empty(100_000));
    assert!(message.len() < 210_000);
    let taken = of(&message) - nothing;
    assert!(taken >= 100_000 * COPIES * size_of::<v1::Condition>(), "{taken}");
    // In each other, where each vector has one.
    let nested =
        (0..20).fold(Kind::Ids(v1::Ids::default()), |inner, _| Kind::AllOf([inner].into_iter().collect()));
    assert!(of(&filtered(nested)) - nothing >= 20 * FIRST * COPIES * size_of::<v1::Condition>());
    let values = vec![v1::Value { kind: Some(ValueKind::Integer(1)) }; 1000];
    let membership = Kind::Membership(v1::Membership { values, ..Default::default() });
    assert!(of(&filtered(membership)) - nothing >= 1000 * COPIES * size_of::<v1::Value>());
    let tags = Kind::Contains(v1::Contains { tags: vec![String::new(); 1000], ..Default::default() });
    assert!(of(&filtered(tags)) - nothing >= 1000 * COPIES * size_of::<String>());
    let ids = v1::FetchRequest { ids: vec![1; 5000], ..Default::default() };
    let taken = weight(Method::Fetch, &ids.encode_to_vec(), usize::MAX).unwrap();
    assert!((80_000..81_000).contains(&taken), "{taken}");
    // Bytes of vectors are not copied, and a long text is once.
    let raw = v1::Vectors::raw(4, v1::Dtype::U8, vec![7; 100_000]);
    let raw = v1::SearchRequest { query: Some(raw), ..Default::default() };
    assert_eq!(of(&raw.encode_to_vec()), nothing);
    let text = v1::Filter::text("x".repeat(5000));
    let options = Some(v1::SearchOptions { filter: Some(text), ..Default::default() });
    let text = v1::SearchRequest { options, ..Default::default() };
    assert_eq!(of(&text.encode_to_vec()), nothing + 5000);
}

/// Bytes that the ids of a message take once it is decoded, and what they are taken for.
fn ids_of(message: &[u8]) -> (usize, usize) {
    let fetch = |message: &[u8]| weight(Method::Fetch, message, usize::MAX).unwrap();
    let decoded = v1::FetchRequest::decode(message).unwrap();
    (decoded.ids.capacity() * size_of::<u64>(), fetch(message) - fetch(&[]))
}

#[test]
fn numbers_are_taken_for_the_room_that_their_vector_grows_to() {
    for count in (1..70).chain([1000, 1025, 4097]) {
        let packed = v1::FetchRequest { ids: vec![1; count], ..Default::default() }.encode_to_vec();
        let one_by_one = [0x10, 1].repeat(count);
        // In several parts, which fill one vector.
        let parts = [&packed[..], &one_by_one, &packed].concat();
        for message in [packed, one_by_one, parts] {
            let (held, taken) = ids_of(&message);
            assert!((held..=2 * held + 32).contains(&taken), "{count}: {held} bytes, taken for {taken}");
        }
    }
}

#[test]
fn following_a_message_ends_where_it_is_enough_malformed_or_deep() {
    let message =
        filtered(Kind::AnyOf(v1::Conditions { conditions: vec![v1::Condition { kind: None }; 100_000] }));
    let taken = weight(Method::Search, &message, 10_000).unwrap();
    assert!((10_000..20_000).contains(&taken), "{taken}");
    // Cut anywhere.
    for end in (0..message.len()).step_by(997) {
        assert!(of(&message[..end]) <= of(&message), "{end}");
    }
    assert_eq!(weight(Method::Search, &[0x0b, 0x0c], usize::MAX), None, "a group");
    assert_eq!(weight(Method::Search, &[0xff; 20], usize::MAX), Some(of(&[])));
    // Far deeper than is decoded.
    let mut tree = Vec::new();
    for _ in 0..2000 {
        let mut outer = vec![0x1a];
        prost::encode_length_delimiter(tree.len(), &mut outer).unwrap();
        outer.append(&mut tree);
        tree = outer;
    }
    let condition = v1::Condition::decode(&tree[..]);
    assert!(condition.is_err());
    let shapes = Shapes::new();
    known(|_, number| {
        let mut walk = Walk { shapes: &shapes.all, bytes: 0, most: usize::MAX };
        assert!(walk.message(&shapes.all[number("Condition")], &tree, DEPTH_MAX).is_ok());
        assert!(walk.bytes <= (DEPTH_MAX + 1) * COPIES * shapes.all[number("Condition")].bytes);
    });
}
