//! What a request takes in memory once it is decoded, told from its bytes before it is.
//!
//! An empty condition of a filter is two bytes of a message and about a hundred in memory; an id is one byte and eight. The
//! fields come from the descriptors that the interface is compiled from, so that none is forgotten.
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use bytes::Bytes;
use prost::{Message as _, decode_length_delimiter};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use spandrel_proto::DESCRIPTOR;

use crate::method::Method;

/// Levels of messages in each other that are decoded.
const DEPTH_MAX: usize = 100;
/// What was decoded, and what it becomes, are in memory together.
const COPIES: usize = 2;
/// Elements that a vector has room for from its first one, and for each further one: it doubles when it is full.
const FIRST: usize = 4;
const FURTHER: usize = 2;

/// What a field takes in memory apart from the message that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Nothing: bytes stay where they came in.
    Kept,
    /// Text, which is copied.
    Text { is_repeated: bool },
    /// Numbers of a vector, of this many bytes each.
    Numbers { bytes: usize, is_varint: bool },
    /// A message.
    Message { shape: usize, place: Place },
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the message that has it.
    Inside,
    /// In a box, since it may have itself.
    Boxed,
    /// In a vector.
    Vector,
}

/// A kind of message.
#[derive(Debug)]
struct Shape {
    /// Bytes that one has in memory, at most.
    bytes: usize,
    /// Those of its fields that take memory of their own, by number.
    fields: Vec<Option<Field>>,
}

/// The kinds of messages that requests are made of.
#[derive(Debug)]
struct Shapes {
    all: Vec<Shape>,
    /// Of the request of a method, by its place in [`Method::ALL`].
    requests: Vec<Option<usize>>,
}

/// Why a message is not followed any further.
enum End {
    /// It takes more than it may.
    Enough,
    /// No field begins here; decoding ends here too.
    Malformed,
    /// A group, which nothing writes any more.
    Group,
}

/// Bytes of memory that a message to `method` takes beside its own; where they are more than `most`, not all of them. None for a
/// message that cannot be told.
pub(crate) fn weight(method: Method, message: &[u8], most: usize) -> Option<usize> {
    static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::new);
    let shapes = &*SHAPES;
    let request = *shapes.requests.get(method as usize)?; // CAST: a place
    let Some(shape) = request.and_then(|request| shapes.all.get(request)) else { return Some(0) };
    let mut walk = Walk { shapes: &shapes.all, bytes: COPIES * shape.bytes, most };
    match walk.message(shape, message, DEPTH_MAX) {
        Err(End::Group) => None,
        Ok(()) | Err(End::Enough | End::Malformed) => Some(walk.bytes),
    }
}

/// A message that is followed from field to field.
struct Walk<'a> {
    shapes: &'a [Shape],
    bytes: usize,
    most: usize,
}

impl Walk<'_> {
    fn message(&mut self, shape: &Shape, mut rest: &[u8], levels: usize) -> Result<(), End> {
        // Bits of the fields that there were, by their number.
        let mut seen = 0_u64;
        while !rest.is_empty() {
            let key = decode_length_delimiter(&mut rest).map_err(|_| End::Malformed)?;
            let (number, wire) = (key >> 3, key & 7);
            let field = shape.fields.get(number).copied().flatten();
            let skipped = match wire {
                0 => rest.iter().position(|&byte| byte < 0x80).map(|last| last + 1),
                1 => Some(8),
                2 => Some(decode_length_delimiter(&mut rest).map_err(|_| End::Malformed)?),
                3 | 4 => return Err(End::Group),
                5 => Some(4),
                _ => None,
            };
            let (content, after) =
                skipped.and_then(|bytes| rest.split_at_checked(bytes)).ok_or(End::Malformed)?;
            rest = after;
            let bit = 1 << number.min(63);
            let room = if seen & bit == 0 { FIRST } else { FURTHER };
            seen |= bit;
            match field {
                None | Some(Field::Kept) => {}
                Some(Field::Text { is_repeated }) => {
                    self.bytes +=
                        content.len() + usize::from(is_repeated) * COPIES * room * size_of::<String>();
                }
                Some(Field::Numbers { bytes, is_varint }) => {
                    let count = match (wire, is_varint) {
                        (2, true) => content.iter().filter(|&&byte| byte < 0x80).count(),
                        (2, false) => content.len() / bytes,
                        _ => 1,
                    };
                    // No more than a vector that doubles has room for.
                    self.bytes += bytes * (FURTHER * count).max(room);
                }
                Some(Field::Message { shape, place }) => {
                    let Some(shape) = self.shapes.get(shape) else { continue };
                    self.bytes += COPIES * shape.bytes * [0, 1, room][place as usize]; // CAST: a place
                    if self.bytes <= self.most && wire == 2 && levels > 0 {
                        self.message(shape, content, levels - 1)?;
                    }
                }
            }
            if self.bytes > self.most {
                return Err(End::Enough);
            }
        }
        Ok(())
    }
}

impl Shapes {
    fn new() -> Shapes {
        let Ok(set) = FileDescriptorSet::decode(DESCRIPTOR) else {
            unreachable!("the descriptors were compiled with this program")
        };
        let mut messages = Vec::new();
        let mut requests = vec![None; Method::ALL.len()];
        for file in &set.file {
            let prefix = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| gather(&prefix, message, &mut messages));
        }
        let numbers =
            messages.iter().enumerate().map(|(number, (name, _))| (name.as_str(), number)).collect();
        let known = Known { messages: messages.iter().map(|&(_, message)| message).collect(), numbers };
        for (file, service) in set.file.iter().flat_map(|file| file.service.iter().map(move |s| (file, s))) {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                if let Some(request) = requests.get_mut(Method::of(&path) as usize) {
                    *request = known.number(method.input_type());
                }
            }
        }
        Shapes { all: (0..messages.len()).map(|number| known.shape(number)).collect(), requests }
    }
}

/// A message, and those that are declared in it, by name.
fn gather<'a>(prefix: &str, message: &'a DescriptorProto, into: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{prefix}.{}", message.name());
    message.nested_type.iter().for_each(|nested| gather(&name, nested, into));
    into.push((name, message));
}

/// The messages that are declared.
struct Known<'a> {
    messages: Vec<&'a DescriptorProto>,
    numbers: HashMap<&'a str, usize>,
}

impl Known<'_> {
    fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    fn fields(&self, message: usize) -> &[FieldDescriptorProto] {
        self.messages.get(message).map_or(&[], |message| &message.field)
    }

    fn shape(&self, message: usize) -> Shape {
        let mut fields = Vec::new();
        for field in self.fields(message) {
            let number = field.number() as usize; // CAST: above 0
            fields.resize(fields.len().max(number + 1), None);
            if let Some(place) = fields.get_mut(number) {
                *place = self.own(message, field);
            }
        }
        Shape { bytes: self.bytes(message), fields }
    }

    /// What a field of a message takes of its own.
    fn own(&self, message: usize, field: &FieldDescriptorProto) -> Option<Field> {
        let is_repeated = field.label() == Label::Repeated;
        let numbers = |bytes, is_varint| is_repeated.then_some(Field::Numbers { bytes, is_varint });
        match field.r#type() {
            Type::Bytes => Some(Field::Kept),
            Type::String => Some(Field::Text { is_repeated }),
            Type::Message | Type::Group => {
                let shape = self.number(field.type_name())?;
                let place = match is_repeated {
                    true => Place::Vector,
                    false if self.reaches(shape, message, &mut Vec::new()) => Place::Boxed,
                    false => Place::Inside,
                };
                Some(Field::Message { shape, place })
            }
            Type::Double | Type::Fixed64 | Type::Sfixed64 => numbers(8, false),
            Type::Float | Type::Fixed32 | Type::Sfixed32 => numbers(4, false),
            Type::Int64 | Type::Uint64 | Type::Sint64 => numbers(8, true),
            Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Enum => numbers(4, true),
            Type::Bool => numbers(1, true),
        }
    }

    /// Whether a message may hold another inside of itself.
    fn reaches(&self, from: usize, to: usize, passed: &mut Vec<usize>) -> bool {
        if from == to {
            return true;
        }
        if passed.contains(&from) {
            return false;
        }
        passed.push(from);
        let single = self.fields(from).iter().filter(|field| field.label() != Label::Repeated);
        let inside: Vec<usize> = single.filter_map(|field| self.number(field.type_name())).collect();
        inside.into_iter().any(|inside| self.reaches(inside, to, passed))
    }

    /// Bytes of a message itself, at most.
    fn bytes(&self, message: usize) -> usize {
        // A tag, or padding.
        const TAG: usize = 8;
        let (mut bytes, mut choices) = (0, BTreeMap::<i32, usize>::new());
        for field in self.fields(message) {
            let own = match (field.label(), self.own(message, field)) {
                (Label::Repeated, _) => size_of::<Vec<u8>>(),
                (_, Some(Field::Text { .. })) => size_of::<String>(),
                (_, Some(Field::Kept)) => size_of::<Bytes>(),
                (_, Some(Field::Message { shape, place: Place::Inside })) => self.bytes(shape) + TAG,
                _ => size_of::<u64>(),
            };
            match field.oneof_index {
                Some(choice) => {
                    let most = choices.entry(choice).or_default();
                    *most = own.max(*most);
                }
                None => bytes += own,
            }
        }
        bytes + choices.values().map(|most| most + TAG).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
