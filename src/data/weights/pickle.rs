//! Python's pickle, as far as state dicts need it. Values are built from a list of known names; any
//! other name of a class or a function is an error, and nothing is imported or called. Values share
//! their parts and are nested to a limit, so memory and time are in proportion to the file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Tuples within tuples, and dicts within dicts, beyond which a file is no state dict.
const DEEPEST: usize = 32;
const MOST_NESTED: usize = 10_000;

/// A value of a pickle.
#[derive(Debug, Clone)]
pub enum Value {
    /// None, numbers that are not needed, and hooks.
    Other,
    Int(i64),
    Text(String),
    /// With the depth of its tuples.
    Tuple(Rc<Vec<Value>>, usize),
    /// Its items are not needed.
    List,
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    /// A class or a function of the list below.
    Name(&'static str),
    Storage {
        kind: String,
        key: String,
    },
    Tensor(Tensor),
    Mark,
}

/// A tensor as a view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The class of the storage, e.g. `FloatStorage`.
    pub storage: String,
    /// The name of the storage's file.
    pub key: String,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// The names that a state dict may use.
const NAMES: [(&str, &str); 16] = [
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    ("torch", "FloatStorage"),
    ("torch", "DoubleStorage"),
    ("torch", "HalfStorage"),
    ("torch", "BFloat16Storage"),
    ("torch", "LongStorage"),
    ("torch", "IntStorage"),
    ("torch", "ShortStorage"),
    ("torch", "CharStorage"),
    ("torch", "ByteStorage"),
    ("torch", "BoolStorage"),
    ("torch", "device"),
    ("builtins", "set"),
];

/// The value of a pickle.
///
/// # Errors
/// It is damaged, or holds other Python objects.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut machine = Machine { bytes, at: 0, stack: vec![], memo: HashMap::new(), nested: 0 };
    while !machine.step()? {}
    machine.pop()
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
    /// Dicts that were put into dicts.
    nested: usize,
}

fn damaged() -> String {
    "has a damaged pickle".into()
}

impl Machine<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or_else(damaged)?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    /// A little-endian number of `n` bytes, at most eight.
    fn number(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn text(&mut self, length: usize) -> Result<Value, String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| damaged())?;
        Ok(Value::Text(text.to_string()))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.bytes.get(self.at..).ok_or_else(damaged)?;
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    /// The values above the last mark.
    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let at = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or_else(damaged)?;
        let values = self.stack.split_off(at + 1);
        self.stack.pop();
        Ok(values)
    }

    fn remember(&mut self, number: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or_else(damaged)?.clone();
        self.memo.insert(number, value);
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Result<(), String> {
        let value = self.memo.get(&number).ok_or_else(damaged)?;
        self.stack.push(value.clone());
        Ok(())
    }

    fn tuple(&mut self, n: usize) -> Result<(), String> {
        let first = self.stack.len().checked_sub(n).ok_or_else(damaged)?;
        let values = self.stack.split_off(first);
        self.push_tuple(values)
    }

    fn push_tuple(&mut self, values: Vec<Value>) -> Result<(), String> {
        let depth = values.iter().map(|value| if let Value::Tuple(_, depth) = value { depth + 1 } else { 1 }).max().unwrap_or(1);
        if depth > DEEPEST {
            return Err("has tuples nested too deeply for a state dict".into());
        }
        self.stack.push(Value::Tuple(Rc::new(values), depth));
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let known = NAMES.iter().find(|(own, of)| *own == module && *of == name);
        let (_, name) =
            known.ok_or_else(|| format!("holds Python objects beside tensors (`{module}.{name}`), and nothing of it is run"))?;
        self.stack.push(Value::Name(name));
        Ok(())
    }

    fn set_items(&mut self, values: Vec<Value>) -> Result<(), String> {
        self.nested += values.iter().filter(|value| matches!(value, Value::Dict(_))).count();
        if self.nested > MOST_NESTED {
            return Err("has too many dicts within dicts for a state dict".into());
        }
        let Some(Value::Dict(dict)) = self.stack.last() else { return Err(damaged()) };
        let mut values = values.into_iter();
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            dict.borrow_mut().push((key, value));
        }
        Ok(())
    }

    fn append(&self) -> Result<(), String> {
        match self.stack.last() {
            Some(Value::List) => Ok(()),
            _ => Err(damaged()),
        }
    }

    /// Executes one instruction. Returns whether it was the last.
    fn step(&mut self) -> Result<bool, String> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return Ok(true),
            0x80 => _ = self.take(1)?, // protocol
            0x95 => _ = self.take(8)?, // frame
            b'}' => self.stack.push(Value::Dict(Rc::default())),
            b']' => self.stack.push(Value::List),
            b')' => self.push_tuple(vec![])?,
            0x8f => self.stack.push(Value::Other), // an empty set
            b'(' => self.stack.push(Value::Mark),
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Other);
            }
            b'q' => {
                let number = self.number(1)?;
                self.remember(number as u32)?;
            }
            b'r' => {
                let number = self.number(4)?;
                self.remember(number as u32)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let number = self.number(1)?;
                self.recall(number as u32)?;
            }
            b'j' => {
                let number = self.number(4)?;
                self.recall(number as u32)?;
            }
            b'X' => {
                let length = self.number(4)?;
                let text = self.text(length as usize)?;
                self.stack.push(text);
            }
            0x8c => {
                let length = self.number(1)?;
                let text = self.text(length as usize)?;
                self.stack.push(text);
            }
            b'J' => {
                let number = self.number(4)? as u32 as i32;
                self.stack.push(Value::Int(number.into()));
            }
            b'K' => {
                let number = self.number(1)?;
                self.stack.push(Value::Int(number as i64));
            }
            b'M' => {
                let number = self.number(2)?;
                self.stack.push(Value::Int(number as i64));
            }
            0x8a => {
                let length = self.number(1)? as usize;
                if length > 8 {
                    return Err("has a number of more than 64 bits".into());
                }
                let number = self.number(length)?;
                // Sign-extended from its own length.
                let shift = 64 - 8 * length as u32;
                self.stack.push(Value::Int(if length == 0 { 0 } else { (number << shift) as i64 >> shift }));
            }
            b't' => {
                let values = self.since_mark()?;
                self.push_tuple(values)?;
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                self.pop()?;
                self.append()?;
            }
            b'e' => {
                self.since_mark()?;
                self.append()?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let values = self.since_mark()?;
                self.set_items(values)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else { return Err(damaged()) };
                self.name(&module, &name)?;
            }
            b'Q' => {
                let storage = persistent(self.pop()?)?;
                self.stack.push(storage);
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.stack.push(reduced(function, arguments)?);
            }
            b'b' => _ = self.pop()?, // the attributes of a state dict, such as its version
            b'0' => _ = self.pop()?,
            other => return Err(format!("has a pickle with instruction {other:#04x}, which no state dict needs")),
        }
        Ok(false)
    }
}

/// A storage, of `("storage", class, key, location, count)`.
fn persistent(id: Value) -> Result<Value, String> {
    let Value::Tuple(parts, _) = id else { return Err(damaged()) };
    match parts.as_slice() {
        [Value::Text(what), Value::Name(kind), Value::Text(key), ..] if what == "storage" => {
            Ok(Value::Storage { kind: kind.to_string(), key: key.clone() })
        }
        _ => Err(damaged()),
    }
}

/// What one of the known functions returns.
fn reduced(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Name(name), Value::Tuple(arguments, _)) = (function, arguments) else { return Err(damaged()) };
    match (name, arguments.as_slice()) {
        ("OrderedDict", []) => Ok(Value::Dict(Rc::default())),
        ("_rebuild_parameter", [tensor, ..]) => Ok(tensor.clone()),
        ("Size", [size]) => Ok(size.clone()),
        ("_rebuild_tensor_v2", [Value::Storage { kind, key }, Value::Int(offset), size, stride, ..]) => Ok(Value::Tensor(Tensor {
            storage: kind.clone(),
            key: key.clone(),
            offset: *offset,
            size: numbers(size)?,
            stride: numbers(stride)?,
        })),
        ("device" | "set", _) => Ok(Value::Other),
        _ => Err(damaged()),
    }
}

fn numbers(value: &Value) -> Result<Vec<i64>, String> {
    let Value::Tuple(values, _) = value else { return Err(damaged()) };
    let number = |value: &Value| match value {
        Value::Int(n) if *n >= 0 => Ok(*n),
        _ => Err(damaged()),
    };
    values.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `repeat` of these instructions after the start, then the end.
    fn parsed(start: &[u8], repeat: &[u8], times: usize, end: &[u8]) -> Result<Value, String> {
        parse(&[start, &repeat.repeat(times), end].concat())
    }

    #[test]
    fn hostile_pickles_take_neither_memory_nor_stack() {
        // Tuples that hold the one before twice: 2⁶⁰ values if they were copied.
        let doubled: Vec<u8> = (0..60u8).flat_map(|i| [b'h', i, b'h', i, 0x86, b'q', i + 1]).collect();
        let error = parse(&[b")q\x00", doubled.as_slice(), b"."].concat()).unwrap_err();
        assert!(error.contains("nested too deeply"), "{error}");
        // A million lists within lists.
        assert!(matches!(parsed(b"]", b"]", 1_000_000, b"."), Ok(Value::List)));
        assert!(parsed(b"]", b"]a", 1_000_000, b".").is_ok());
        assert!(parsed(b")", b"\x85", 1_000_000, b".").unwrap_err().contains("nested too deeply"));
        // Dicts within dicts.
        assert!(parsed(b"}", b"}X\x01\x00\x00\x00a}s", 20_000, b".").unwrap_err().contains("too many dicts"));
        // A dict that contains itself.
        assert!(parse(b"}q\x00X\x05\x00\x00\x00modelh\x00s.").is_ok());
        for broken in [&b""[..], b".", b"h\x05.", b"t.", b"R.", b"X\xff\xff\xff\xffa.", b"\x8a\x09", b"cos\nsystem\n."] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
