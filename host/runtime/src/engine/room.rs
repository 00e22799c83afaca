//! How many parts one component may have, and which of these limits a refusal of the engine is
//! about.
//!
//! The pool of instances is made for these numbers. Components of some toolchains have many parts:
//! componentize-py makes 14 core instances, and each middleware that is composed with an app has
//! its own memory.

use std::fmt;

use wasmtime::PoolingAllocationConfig;

/// The most that one module or component may need for the engine's own data of an instance, in
/// bytes: what belongs to its functions, globals, tables and imports. It grows with their number.
const INSTANCE_DATA: usize = 10 << 20;

/// How many parts one component may have, with all components in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentRoom {
    /// Core instances.
    pub core_instances: u32,
    /// Linear memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// Elements of one table.
    pub table_elements: usize,
}

impl Default for ComponentRoom {
    /// 200 core instances, 32 memories, 20 tables of 100,000 elements.
    fn default() -> ComponentRoom {
        ComponentRoom {
            core_instances: 200,
            memories: 32,
            tables: 20,
            table_elements: 100_000,
        }
    }
}

impl ComponentRoom {
    /// Sets what one component may have.
    pub(super) fn apply(self, pool: &mut PoolingAllocationConfig) {
        pool.max_core_instances_per_component(self.core_instances)
            .max_memories_per_component(self.memories)
            .max_memories_per_module(self.memories)
            .max_tables_per_component(self.tables)
            .max_tables_per_module(self.tables)
            .table_elements(self.table_elements)
            .max_component_instance_size(INSTANCE_DATA)
            .max_core_instance_size(INSTANCE_DATA);
    }
}

/// What a component has more of than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    CoreInstances,
    Memories,
    Tables,
    TableElements,
    Memory,
    InstanceData,
}

/// A limit that a component is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverRoom {
    part: Part,
    has: u64,
    most: u64,
}

/// How the engine begins and ends what it says of a limit, around the two numbers. The tests hold
/// these texts.
const SAID: [(Part, &str, &str); 9] = [
    (
        Part::CoreInstances,
        "The component transitively contains ",
        " core module instances, which exceeds the configured maximum of ",
    ),
    (
        Part::Memories,
        "The component transitively contains ",
        " Wasm linear memories, which exceeds the configured maximum of ",
    ),
    (
        Part::Memories,
        "defined memories count of ",
        " exceeds the per-instance limit of ",
    ),
    (
        Part::Tables,
        "The component transitively contains ",
        " tables, which exceeds the configured maximum of ",
    ),
    (
        Part::Tables,
        "defined tables count of ",
        " exceeds the per-instance limit of ",
    ),
    (
        Part::TableElements,
        " has a minimum element size of ",
        " which exceeds the limit of ",
    ),
    (
        Part::Memory,
        "memory has a minimum byte size of ",
        " which exceeds the limit of ",
    ),
    (
        Part::InstanceData,
        "instance allocation for this module requires ",
        " bytes which exceeds the configured maximum of ",
    ),
    (
        Part::InstanceData,
        "instance allocation for this component requires ",
        " bytes of `VMComponentContext` and aggregated core instance runtime space which exceeds the configured maximum of ",
    ),
];

impl OverRoom {
    /// The limit that the engine refused a component for, if it was one of these.
    pub(crate) fn of(error: &wasmtime::Error) -> Option<OverRoom> {
        let said = error.root_cause().to_string();
        SAID.iter().find_map(|(part, before, between)| {
            let (_, rest) = said.split_once(before)?;
            let (has, rest) = rest.split_once(between)?;
            Some(OverRoom {
                part: *part,
                has: number(has)?,
                most: number(rest)?,
            })
        })
    }
}

/// The number that a text begins with. The engine writes some in hexadecimal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix));
    u64::from_str_radix(&digits[..end.unwrap_or(digits.len())], radix).ok()
}

impl fmt::Display for OverRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverRoom { part, has, most } = self;
        match part {
            Part::CoreInstances => write!(
                f,
                "has {has} core instances, more than {most}; --max-core-instances {has} allows them"
            ),
            Part::Memories => write!(
                f,
                "has {has} memories, more than {most}; --max-memories {has} allows them"
            ),
            Part::Tables => write!(
                f,
                "has {has} tables, more than {most}; --max-tables {has} allows them"
            ),
            Part::TableElements => write!(
                f,
                "has a table of {has} elements, more than {most}; --max-table-elements {has} allows it"
            ),
            Part::Memory => write!(
                f,
                "has a memory that begins with {has} bytes, more than {most}; --memory-limit {has} allows it"
            ),
            Part::InstanceData => write!(
                f,
                "has so many functions, globals and imports that an instance needs {} KiB for them, more than {} KiB; leave out code that it does not need, or split it into several components",
                has.div_ceil(1024),
                most / 1024
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::Component;
    use wasmtime::{Config, Engine, InstanceAllocationStrategy};

    /// What is said of a component when there is this room.
    fn said(room: ComponentRoom, wat: &str) -> String {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(1)
            .total_core_instances(10)
            .total_memories(10)
            .total_tables(10)
            .max_memory_size(1 << 20);
        room.apply(&mut pool);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let error = Component::new(&engine, wat::parse_str(wat).unwrap()).err();
        let error = error.expect("it is over the limit");
        match OverRoom::of(&error) {
            Some(over) => over.to_string(),
            None => panic!("the engine says it in other words: {error:?}"),
        }
    }

    const ROOM: ComponentRoom = ComponentRoom {
        core_instances: 2,
        memories: 2,
        tables: 2,
        table_elements: 10,
    };

    /// A component of three instances of a module.
    fn three(module: &str) -> String {
        format!(
            "(component (core module $m {module}) (core instance (instantiate $m))
             (component $inner (core module $m {module}) (core instance (instantiate $m)))
             (instance (instantiate $inner)) (instance (instantiate $inner)))"
        )
    }

    #[test]
    fn each_limit_is_named_with_what_the_component_has_and_its_flag() {
        let many = ComponentRoom {
            core_instances: 10,
            ..ROOM
        };
        for (room, component, sentence) in [
            (
                ROOM,
                three(""),
                "has 3 core instances, more than 2; --max-core-instances 3",
            ),
            (
                many,
                three("(memory 1)"),
                "has 3 memories, more than 2; --max-memories 3",
            ),
            (
                many,
                three("(table 1 funcref)"),
                "has 3 tables, more than 2; --max-tables 3",
            ),
        ] {
            let said = said(room, &component);
            assert!(said.contains(sentence), "{said}");
        }
        for (module, sentence) in [
            (
                "(memory 1) (memory 1) (memory 1)",
                "has 3 memories, more than 2; --max-memories 3",
            ),
            (
                "(table 1 funcref) (table 1 funcref) (table 1 funcref)",
                "has 3 tables, more than 2; --max-tables 3",
            ),
            (
                "(table 11 funcref)",
                "has a table of 11 elements, more than 10; --max-table-elements 11",
            ),
            (
                "(memory 17)",
                "has a memory that begins with 1114112 bytes, more than 1048576; --memory-limit 1114112",
            ),
        ] {
            let said = said(ROOM, &format!("(component (core module {module}))"));
            assert!(said.contains(sentence), "{said}");
        }
    }

    #[test]
    fn a_module_with_too_much_in_it_is_told_what_is_too_much() {
        let globals = "(global i32 (i32.const 0))".repeat(INSTANCE_DATA / 16 + 1);
        let said = said(ROOM, &format!("(component (core module {globals}))"));
        assert!(
            said.contains("more than 10240 KiB; leave out code"),
            "{said}"
        );
    }
}
