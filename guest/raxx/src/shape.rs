//! The shape of a state as a short text, from the schema that `derive` makes: the names
//! and types of fields and variants, in their order. The names of the types themselves
//! are not in it: they are not in the bytes, and may change.

use postcard_schema::Schema;
use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue};

/// What says that the bytes are postcard's.
const FORMAT: &str = "postcard ";

/// The longest text; a longer one gives way to its hash. A host takes 256 bytes.
const LONGEST: usize = 200;

/// The shape of a type that is kept in the postcard format: `postcard {ticks:u64}`, or
/// `postcard #` and a hash of that text where it is long.
pub(crate) fn of<T: Schema>() -> String {
    let mut text = String::from(FORMAT);
    push_type(&mut text, T::SCHEMA);
    if text.len() > LONGEST {
        return format!("{FORMAT}#{:016x}", fnv1a(text.as_bytes()));
    }
    text
}

fn push_type(out: &mut String, of: &NamedType) {
    match of.ty {
        DataModelType::Bool => out.push_str("bool"),
        DataModelType::I8 => out.push_str("i8"),
        DataModelType::U8 => out.push_str("u8"),
        DataModelType::I16 => out.push_str("i16"),
        DataModelType::I32 => out.push_str("i32"),
        DataModelType::I64 => out.push_str("i64"),
        DataModelType::I128 => out.push_str("i128"),
        DataModelType::U16 => out.push_str("u16"),
        DataModelType::U32 => out.push_str("u32"),
        DataModelType::U64 => out.push_str("u64"),
        DataModelType::U128 => out.push_str("u128"),
        DataModelType::Usize => out.push_str("usize"),
        DataModelType::Isize => out.push_str("isize"),
        DataModelType::F32 => out.push_str("f32"),
        DataModelType::F64 => out.push_str("f64"),
        DataModelType::Char => out.push_str("char"),
        DataModelType::String => out.push_str("string"),
        DataModelType::ByteArray => out.push_str("bytes"),
        DataModelType::Unit | DataModelType::UnitStruct => out.push_str("()"),
        DataModelType::Schema => out.push_str("schema"),
        DataModelType::Option(inner) => {
            push_type(out, inner);
            out.push('?');
        }
        // Its bytes are those of what is in it.
        DataModelType::NewtypeStruct(inner) => push_type(out, inner),
        DataModelType::Seq(inner) => push_list(out, ["[", "]"], &[*inner], push_type),
        DataModelType::Tuple(all) | DataModelType::TupleStruct(all) => {
            push_list(out, ["(", ")"], all, push_type);
        }
        DataModelType::Map { key, val } => {
            push_list(out, ["map(", ")"], &[*key, *val], push_type);
        }
        DataModelType::Struct(fields) => push_list(out, ["{", "}"], fields, push_field),
        DataModelType::Enum(variants) => {
            push_list(out, ["<", ">"], variants, |out, variant| {
                out.push_str(variant.name);
                match variant.ty {
                    DataModelVariant::UnitVariant => {}
                    DataModelVariant::NewtypeVariant(inner) => {
                        push_list(out, ["(", ")"], &[*inner], push_type);
                    }
                    DataModelVariant::TupleVariant(all) => {
                        push_list(out, ["(", ")"], all, push_type);
                    }
                    DataModelVariant::StructVariant(fields) => {
                        push_list(out, ["{", "}"], fields, push_field);
                    }
                }
            });
        }
    }
}

fn push_field(out: &mut String, field: &NamedValue) {
    out.push_str(field.name);
    out.push(':');
    push_type(out, field.ty);
}

fn push_list<T>(
    out: &mut String,
    [open, close]: [&str; 2],
    items: &[&T],
    push: impl Fn(&mut String, &T),
) {
    out.push_str(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push_str(close);
}

/// FNV-1a in 64 bits, by its published offset and prime: the standard hasher may change
/// between compilers, and a state outlives them.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct All {
        unit: (),
        text: String,
        list: Vec<u8>,
        pair: (bool, i32),
        one: Wrapped,
        map: BTreeMap<String, Option<f64>>,
        kind: Kind,
    }

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Wrapped(u64);

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Kind {
        Empty,
        One(u8),
        Two(u8, char),
        Named { at: i64 },
    }

    #[test]
    fn a_shape_names_fields_variants_and_types() {
        assert_eq!(
            of::<All>(),
            "postcard {unit:(),text:string,list:[u8],pair:(bool,i32),one:u64,\
             map:map(string,f64?),kind:<Empty,One(u8),Two(u8,char),Named{at:i64}>}"
        );
    }

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Flat {
        A(InnerOfFlat),
        C,
    }

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum InnerOfFlat {
        B,
    }

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Deep {
        A(InnerOfDeep),
    }

    #[derive(Schema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum InnerOfDeep {
        B,
        C,
    }

    #[test]
    fn a_variant_that_moves_into_another_changes_the_shape() {
        assert_eq!(of::<Flat>(), "postcard <A(<B>),C>");
        assert_eq!(of::<Deep>(), "postcard <A(<B,C>)>");
    }

    #[test]
    fn the_shape_of_a_large_state_is_a_hash() {
        type Ten = (All, All, All, All, All);
        let shape = of::<Ten>();
        assert_eq!(shape.len(), FORMAT.len() + 17);
        assert!(shape.starts_with("postcard #"), "{shape}");
        assert_ne!(shape, of::<(Ten, u8)>());
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
